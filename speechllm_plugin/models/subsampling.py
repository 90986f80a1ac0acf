"""Subsampling: filterbanks become fewer and wider speech states."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from speechllm_plugin.models import kernels
from speechllm_plugin.models.cost import matmul

Length = TypeVar("Length", int, Tensor)


class Subsampling(nn.Module, ABC):
    """Base of what stands between the filterbanks and the first layer; built as Subsampling(flags, feature_dim).

    Attributes:
        frames_per_state: frames (10 ms) for which a state stands.
    """

    frames_per_state: int

    @abstractmethod
    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The (B, S, C) states, zero at padding, and their (B, S) padding.

        Args:
            features: (B, T, feature_dim); T may exceed the longest utterance, and anything may stand at padding.
            lengths:  (B,) number of frames.
        """

    @abstractmethod
    def num_states(self, num_frames: Length) -> Length:
        """The number of states of an utterance, or of several."""

    @abstractmethod
    def flops(self, num_frames: int) -> int:
        """Operations for one utterance; see models/cost.py for what counts."""


class ConvolutionalSubsampling(Subsampling):
    """Conv1d of stride 2 and a gated linear unit, once per kernel size.

    Padding is set to zero before each convolution: an utterance's states depend on its own frames only.
    """

    def __init__(self, cfg: Any, feature_dim: int):
        super().__init__()
        sizes = kernel_sizes(cfg)
        last = len(sizes) - 1
        convolutions = nn.ModuleList(
            nn.Conv1d(
                feature_dim if i == 0 else cfg.conv_channels // 2,
                2 * cfg.encoder_embed_dim if i == last else cfg.conv_channels,
                kernel_size,
                stride=2,
                padding=kernel_size // 2,
            )
            for i, kernel_size in enumerate(sizes)
        )
        self.convolutions = cast(Sequence[nn.Conv1d], convolutions)
        self.frames_per_state = 2 ** len(sizes)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        if kernels.for_training(features) and all(kernels.is_plain(each, nn.Conv1d) for each in self.convolutions):
            return self.forward_in_rows(features, lengths)
        x = features.transpose(1, 2)  # (B, feature_dim, T)
        padding = padding_of(lengths, x.size(2))
        x = x.masked_fill(padding[:, None], 0)
        for convolution in self.convolutions:
            x = nn.functional.glu(convolution(x), dim=1)
            lengths = windows(lengths)
            padding = padding_of(lengths, x.size(2))
            x = x.masked_fill(padding[:, None], 0)
        return x.transpose(1, 2).contiguous(), padding

    def forward_in_rows(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, with a row for each frame or state throughout: cuDNN computes in this layout, and copies what lies otherwise."""
        padding = padding_of(lengths, features.size(1))
        x = torch.where(padding[..., None], 0.0, features)
        for convolution in self.convolutions:
            weight = convolution.weight[:, :, None].contiguous(memory_format=torch.channels_last)
            stride, beyond, dilation = (1, *convolution.stride), (0, *convolution.padding), (1, *convolution.dilation)
            x = x.transpose(1, 2)[:, :, None]  # (B, C, 1, T), where channels still lie side by side
            x = nn.functional.conv2d(x, weight, None, stride, beyond, dilation, convolution.groups)
            x = x.squeeze(2).transpose(1, 2)  # no index, whose gradient would be copied
            lengths = windows(lengths)
            padding = padding_of(lengths, x.size(1))
            x = kernels.gated_linear_unit(x, convolution.bias, padding)
        return x, padding

    def num_states(self, num_frames: Length) -> Length:
        for _ in self.convolutions:
            num_frames = windows(num_frames)
        return num_frames

    def flops(self, num_frames: int) -> int:
        total = 0
        for convolution in self.convolutions:
            num_frames = windows(num_frames)
            total += matmul(num_frames, convolution.kernel_size[0] * convolution.in_channels, convolution.out_channels)
        return total


def windows(length: Length) -> Length:
    """The number of windows of stride 2 with an odd kernel: half the length, rounded up."""
    return (length + 1) // 2


def padding_of(lengths: Tensor, size: int) -> Tensor:
    """The (B, size) padding: True from each length on."""
    return torch.arange(size, device=lengths.device) >= lengths[:, None]


def kernel_sizes(cfg: Any) -> list[int]:
    """The kernels of --conv-kernel-sizes as numbers.

    Raises:
        ValueError: the flag is no list of odd numbers.
    """
    try:
        sizes = [int(size) for size in cfg.conv_kernel_sizes.split(",")]
    except ValueError:
        sizes = [0]
    if any(size < 1 or size % 2 == 0 for size in sizes):
        raise ValueError(f"--conv-kernel-sizes must be odd numbers separated by commas, as in 5,5, but is {cfg.conv_kernel_sizes!r}")
    return sizes
