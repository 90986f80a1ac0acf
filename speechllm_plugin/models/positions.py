"""Positions of the speech in the encoder, and the sinusoids that decoders add, too.

Source: absolute sinusoids: Vaswani et al. 2017, section 3.5, in fairseq's layout and numbering.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS

FIRST_POSITION = 2  # fairseq counts from padding index + 1, and the padding index is 1


class SinusoidalPositions(nn.Module):
    """Table of sinusoids, sines in the first half of the channels, that grows with the longest sequence seen."""

    table: Tensor

    def __init__(self, dim: int, num_positions: int = 1024):
        super().__init__()
        self.dim = dim
        self.outgrown: list[Tensor] = []  # tables of before, which captured graphs read on
        self.register_buffer("table", self.build(num_positions), persistent=False)

    def build(self, num_positions: int) -> Tensor:
        """The (num_positions, dim) sinusoids."""
        frequency = torch.exp(torch.arange(self.dim // 2) * (-math.log(10000) / (self.dim // 2 - 1)))
        angles = (torch.arange(num_positions) + FIRST_POSITION)[:, None] * frequency
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def reserve(self, num_positions: int) -> None:
        """Let the table have so many positions at least."""
        if num_positions > self.table.size(0):
            self.outgrown.append(self.table)
            self.table = self.build(2 * num_positions).to(self.table)

    def forward(self, start: int, end: int) -> Tensor:
        """The (end - start, dim) sinusoids of the positions from `start` to before `end`, counted from 0."""
        self.reserve(end)
        return self.table[start:end]


class SpeechPositions(nn.Module):
    """Base of the positions of speech states, and itself for encoders that need none; built as SpeechPositions(flags).

    An encoder with positions of its own overrides one of the two methods, or both.
    """

    def __init__(self, cfg: Any):
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """(B, S, C) states -> (B, S, C): what the first layer reads."""
        return x

    def for_layers(self, num_states: int, device: torch.device) -> Any:
        """The positions that every layer gets as `context.positions`, for so many states; after compression they are asked for anew."""
        return None


class FlagPositions(SpeechPositions):
    """Positions as --relative-positions says: sinusoids added to the states, or what self-attention needs to know of their lags."""

    def __init__(self, cfg: Any):
        super().__init__(cfg)
        self.dim, self.num_heads = cfg.encoder_embed_dim, cfg.encoder_attention_heads
        self.form = SELF_ATTENTIONS[cfg.relative_positions]
        self.absolute = SinusoidalPositions(self.dim) if cfg.relative_positions == "none" else None

    def forward(self, x: Tensor) -> Tensor:
        return x if self.absolute is None else x + self.absolute(0, x.size(1)).to(x.dtype)

    def for_layers(self, num_states: int, device: torch.device) -> Tensor | None:
        return self.form.positions(num_states, self.dim, self.num_heads, device)
