"""The rate of matrix products that a machine reaches, as the measure of what a training makes of it."""

import time

import torch

from speechllm_plugin.benchmarking.measurement import wait_for
from speechllm_plugin.models.cost import matmul

SIZES = {"cuda": 8192, "cpu": 1024}  # of square matrices: large enough that nothing else counts
SECONDS_OF_TRIALS, FEWEST_TRIALS = 0.5, 5


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second, in the fastest of several products."""
    size = SIZES[device.type]
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds: list[float] = []
    while sum(seconds) < SECONDS_OF_TRIALS or len(seconds) < FEWEST_TRIALS:
        wait_for(device)
        start = time.perf_counter()
        left @ right
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    return matmul(size, size, size) / min(seconds)
