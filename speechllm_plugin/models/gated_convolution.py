"""The parts of a Conformer's convolution that encoder and decoder share: the gate before it, and the convolution over time."""

from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, glu

from speechllm_plugin.models import kernels


def gate(x: Tensor, pointwise: nn.Linear, padding: Tensor) -> Tensor:
    """(B, S, C) through a layer of twice its width and a gated linear unit, zero at the (B, S) padding."""
    if kernels.for_training(x):
        return kernels.gated_linear_unit(*kernels.product_and_bias(x, pointwise), padding)
    return glu(pointwise(x), dim=-1).masked_fill(padding[..., None], 0)


def depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """(B, S, C) -> (B, S, C), each channel with a filter of its own, and zeros beyond both ends; `weight` (C, 1, width), width odd.

    On a CPU in two dimensions, for whose layout torch has a kernel that is ten times as fast.
    """
    if kernels.for_training(x):
        return kernels.depthwise_conv(x, weight[:, 0].t())
    x, beyond = x.transpose(1, 2), weight.size(-1) // 2
    if x.device.type == "cpu":
        x = conv2d(x[:, :, None], weight[:, :, None], padding=(0, beyond), groups=len(weight))[:, :, 0]
    else:
        x = conv1d(x, weight, padding=beyond, groups=len(weight))
    return x.transpose(1, 2).contiguous()
