"""What kernels with dropout are given: a seed, what is added to it, and a threshold for random bits."""

import functools

import torch
from torch import Tensor


def draw_seed(probability: float) -> int:
    """From torch's generator of the CPU, so that --seed decides and no GPU is waited for; nothing is drawn where nothing is dropped."""
    return int(torch.randint(2**31, ())) if probability else 0


@functools.cache
def seed_base(device: torch.device) -> Tensor:
    """What every kernel adds to its seed, (1,) of 32 bits on the device: zero but where captured graphs repeat the seeds themselves."""
    return torch.zeros(1, dtype=torch.int32, device=device)


def draw_seed_base(device: torch.device) -> None:
    """Give all kernels new random bits, those of captured graphs too: before a forward pass, as its backward pass must find them again."""
    seed_base(device).fill_(int(torch.randint(2**31, ())))


def threshold_of(probability: float) -> int:
    """Of 32 random bits: below it an element is dropped."""
    return min(int(probability * 2**32), 2**32 - 1)
