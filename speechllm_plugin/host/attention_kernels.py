"""The attention kernels that torch chooses from."""

import torch


def leave_out_cudnn() -> None:
    """No attention by cuDNN in this process.

    torch prefers it for 16 bits on Hopper. It plans anew for every shape, 4 ms a call, and batches of speech hardly ever have the shape
    of another: most of a training step went there (row 1, bfloat16: 0.04 s for a known shape, 0.23 s for a new one).
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
