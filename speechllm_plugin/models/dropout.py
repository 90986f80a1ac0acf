"""Dropout. On a CPU from 16 random bits an element, of which one draw gives four: torch's own draws take a tenth of a training's time there."""

import torch
from torch import Tensor, nn

LEVELS = 2**16  # of 16 bits


def probability_now(dropout: nn.Dropout) -> float:
    return dropout.p if dropout.training else 0.0


def dropped(x: Tensor, dropout: nn.Dropout, factor: float = 1.0) -> Tensor:
    """factor * dropout(x)."""
    probability = probability_now(dropout)
    if probability and x.device.type == "cpu":
        return x * survival(x, probability, factor)
    x = dropout(x)
    return x if factor == 1 else factor * x


def survival(x: Tensor, probability: float, factor: float = 1.0) -> Tensor:
    """What dropout multiplies x by, on the CPU: 0 where an element is dropped, else `factor` divided by the share that is kept.

    The probability is rounded to a multiple of 1 / LEVELS, and that is what the share is computed from.
    """
    num_dropped = min(round(probability * LEVELS), LEVELS - 1)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    levels = words.view(torch.int16)[: x.numel()].view(x.shape)  # from -LEVELS / 2 on
    kept = torch.ge(levels, num_dropped - LEVELS // 2, out=torch.empty(x.shape, dtype=x.dtype))
    return kept.mul_(factor * LEVELS / (LEVELS - num_dropped))
