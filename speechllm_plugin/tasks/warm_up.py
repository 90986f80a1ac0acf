"""What a training on a GPU logs at its beginning: kernels that are compiled, graphs that are captured, and what runs without a kernel."""

import logging
import time
from typing import Any

import torch
from torch import nn

from speechllm_plugin.models import kernels
from speechllm_plugin.models.attention import CrossAttention, SelfAttention

logger = logging.getLogger(__name__)

QUIET_BATCHES = 100  # without a capture, after which a training has met its shapes, but for rare ones


class WarmUp:
    """Lines of the log: before and after the first batch; whenever twice as many graphs are captured; once no more come.

    Args:
        model: on its device, in the type in which it is trained.
        captured: its CapturedTraining; None without --cuda-graphs.
    """

    def __init__(self, model: nn.Module, captured: Any):
        self.model, self.captured = model, captured
        self.example = torch.empty(0, device=next(model.parameters()).device)
        self.has_kernels = kernels.available(self.example)
        self.start, self.num_batches = time.monotonic(), 0
        self.next_said, self.num_captures, self.newest = 1, 0, 0

    def before_batch(self) -> None:
        """To be called before every batch of the training."""
        seconds = time.monotonic() - self.start
        if self.num_batches == 0:
            self.warn_of_plain_operations()
        if self.num_batches == 0 and self.has_kernels:
            logger.info("the first batch compiles kernels for this GPU, for up to a minute, unless Triton's cache (~/.triton/cache) has them")
        if self.num_batches == 1 and self.has_kernels:
            logger.info(f"the first batch took {seconds:.0f} s; its kernels are in Triton's cache now")
        if self.captured is not None:
            self.say_captures(seconds)
        self.num_batches += 1

    def warn_of_plain_operations(self) -> None:
        if self.example.device.type == "cuda" and not self.has_kernels:
            logger.warning(
                "this GPU trains with plain operations, which take about twice as long: kernels need one of NVIDIA's from Ampere on, and Triton, "
                "which torch's builds for GPUs bring"
            )
        elif self.has_kernels and (sizes := heads_without_kernel(self.model)):
            logger.warning(
                f"attention runs plain operations, as heads have {' and '.join(map(str, sizes))} channels, but its kernel takes 16, 32, 64, and in "
                "16 bits 128: change --encoder-attention-heads or --decoder-attention-heads"
            )

    def say_captures(self, seconds: float) -> None:
        if self.captured.num_captures > self.num_captures:
            self.num_captures, self.newest = self.captured.num_captures, self.num_batches
            if self.num_captures >= self.next_said:
                logger.info(f"CUDA graphs: {self.num_captures} captured in {self.num_batches} batches, after {seconds:.0f} s")
                self.next_said = 2 * self.num_captures
        elif self.num_captures and self.num_batches == self.newest + QUIET_BATCHES:
            logger.info(f"CUDA graphs: {self.num_captures} captured, none in the last {QUIET_BATCHES} batches; {seconds:.0f} s since the start")


def heads_without_kernel(model: nn.Module) -> list[int]:
    """The channels of heads that fused attention does not take, sorted; of forms that have a kernel."""
    attentions = [module for module in model.modules() if isinstance(module, (SelfAttention, CrossAttention))]
    forms = [module for module in attentions if getattr(module, "has_kernel", True)]
    sizes = {module.dim // module.num_heads: next(module.parameters()).dtype for module in forms}
    return sorted(size for size, dtype in sizes.items() if not kernels.supports(torch.empty(0, size, dtype=dtype)))
