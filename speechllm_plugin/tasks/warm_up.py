"""What a training on a GPU logs while its first batches take longer: kernels that are compiled, graphs that are captured."""

import logging
import time
from typing import Any

import torch

from speechllm_plugin.models import kernels

logger = logging.getLogger(__name__)

QUIET_BATCHES = 100  # without a capture, after which a training has met its shapes, but for rare ones


class WarmUp:
    """Lines of the log: before and after the first batch; whenever twice as many graphs are captured; once no more come.

    Args:
        device: of the model.
        captured: its CapturedTraining; None without --cuda-graphs.
    """

    def __init__(self, device: torch.device, captured: Any):
        self.has_kernels, self.captured = kernels.available(torch.empty(0, device=device)), captured
        self.start, self.num_batches = time.monotonic(), 0
        self.next_said, self.num_captures, self.newest = 1, 0, 0

    def before_batch(self) -> None:
        """To be called before every batch of the training."""
        seconds = time.monotonic() - self.start
        if self.num_batches == 0 and self.has_kernels:
            logger.info("the first batch compiles kernels for this GPU, for up to a minute, unless Triton's cache (~/.triton/cache) has them")
        if self.num_batches == 1 and self.has_kernels:
            logger.info(f"the first batch took {seconds:.0f} s; its kernels are in Triton's cache now")
        if self.captured is not None:
            self.say_captures(seconds)
        self.num_batches += 1

    def say_captures(self, seconds: float) -> None:
        if self.captured.num_captures > self.num_captures:
            self.num_captures, self.newest = self.captured.num_captures, self.num_batches
            if self.num_captures >= self.next_said:
                logger.info(f"CUDA graphs: {self.num_captures} captured in {self.num_batches} batches, after {seconds:.0f} s")
                self.next_said = 2 * self.num_captures
        elif self.num_captures and self.num_batches == self.newest + QUIET_BATCHES:
            logger.info(f"CUDA graphs: {self.num_captures} captured, none in the last {QUIET_BATCHES} batches; {seconds:.0f} s since the start")
