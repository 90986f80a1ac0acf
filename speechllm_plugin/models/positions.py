"""Absolute sinusoidal positions (Vaswani et al. 2017, section 3.5), in fairseq's layout and numbering."""

import math

import torch
from torch import nn

FIRST_POSITION = 2  # fairseq counts from padding index + 1, and the padding index is 1


class SinusoidalPositions(nn.Module):
    """Table of sinusoids, sines in the first half of the channels, that grows with the longest sequence seen."""

    def __init__(self, dim: int, num_positions: int = 1024):
        super().__init__()
        self.dim = dim
        self.register_buffer("table", self.build(num_positions), persistent=False)

    def build(self, num_positions: int):
        frequency = torch.exp(torch.arange(self.dim // 2) * (-math.log(10000) / (self.dim // 2 - 1)))
        angles = (torch.arange(num_positions) + FIRST_POSITION)[:, None] * frequency
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def forward(self, start: int, end: int):
        """(end - start, dim) sinusoids of the positions from `start` to before `end`, counted from 0."""
        if end > self.table.size(0):
            self.table = self.build(2 * end).to(self.table)
        return self.table[start:end]
