"""What kernels with dropout are given: a seed, and a threshold for random bits."""

import torch


def draw_seed(probability: float) -> int:
    """From torch's generator of the CPU, so that --seed decides and no GPU is waited for; nothing is drawn where nothing is dropped."""
    return int(torch.randint(2**31, ())) if probability else 0


def threshold_of(probability: float) -> int:
    """Of 32 random bits: below it an element is dropped."""
    return min(int(probability * 2**32), 2**32 - 1)
