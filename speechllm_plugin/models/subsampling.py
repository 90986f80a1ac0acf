"""Convolutional subsampler: fewer and wider speech states."""

import torch
from torch import nn


class Subsampling(nn.Module):
    """Conv1d of stride 2 and a gated linear unit, once per kernel size.

    Padding is set to zero before each convolution: an utterance's states depend on its own frames only.
    """

    def __init__(self, in_dim: int, conv_channels: int, out_dim: int, kernel_sizes: list[int]):
        super().__init__()
        last = len(kernel_sizes) - 1
        self.convolutions = nn.ModuleList(
            nn.Conv1d(
                in_dim if i == 0 else conv_channels // 2,
                2 * out_dim if i == last else conv_channels,
                kernel_size,
                stride=2,
                padding=kernel_size // 2,
            )
            for i, kernel_size in enumerate(kernel_sizes)
        )

    def forward(self, features, lengths):
        """Returns (B, S, out_dim) states, zero at padding, and their (B, S) padding.

        Args:
            features: (B, T, in_dim), T may exceed the longest utterance.
            lengths:  (B,) number of frames.
        """
        x = features.transpose(1, 2)  # (B, in_dim, T)
        padding = padding_of(lengths, x.size(2))
        x = x.masked_fill(padding[:, None], 0)
        for convolution in self.convolutions:
            x = nn.functional.glu(convolution(x), dim=1)
            lengths = (lengths + 1) // 2  # odd kernels: ceil(length / 2) windows
            padding = padding_of(lengths, x.size(2))
            x = x.masked_fill(padding[:, None], 0)
        return x.transpose(1, 2).contiguous(), padding


def padding_of(lengths, size: int):
    """(B, size) True from each length on."""
    return torch.arange(size, device=lengths.device) >= lengths[:, None]
