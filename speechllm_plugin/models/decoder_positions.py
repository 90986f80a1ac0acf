"""Positions in a decoder: of the text, and of the speech that stands before it.

Every position has a number. Text counts from its own start, or goes on behind the speech; what layers make of a number is a form:
sinusoids that are added to the input, or rotary positions, which turn queries and keys.

A new form is a subclass of DecoderPositions and a line in DECODER_POSITIONS; --decoder-positions takes its choices from there.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from speechllm_plugin.models.attention import SelfAttention
from speechllm_plugin.models.positions import SinusoidalPositions
from speechllm_plugin.models.relative_positions import RotarySelfAttention, rotary_angles

# --prefix-positions -> its meaning; of the speech inside the decoder, whatever positions the encoder gave it
PREFIX_POSITIONS = {
    "none": "none of its own: sinusoids are not added, rotary ones are those of the first token",
    "own": "counted from 0, as the text's",
    "continued": "counted from 0, and the text's go on behind the utterance's last state",
}


class DecoderPositions(nn.Module, ABC):
    """Base of the forms; built as DecoderPositions(channels, heads, number of positions of a text).

    Attributes:
        self_attention: of layers with these positions.
        in_layers: whether layers get positions, and not the input alone.
        label: in `speechllm describe`.
        help: the same in the words of --help.
    """

    self_attention: type[SelfAttention]
    in_layers: bool
    label: str
    help: str

    def __init__(self, dim: int, num_heads: int, num_positions: int):
        super().__init__()

    def reserve(self, num_positions: int) -> None:
        """Get ready for numbers up to this one."""

    @abstractmethod
    def added(self, x: Tensor, numbers: Tensor) -> Tensor:
        """(B, U, C) -> (B, U, C): what the first layer reads at positions with these (B or 1, U) numbers."""

    @abstractmethod
    def for_layers(self, numbers: Tensor) -> Tensor | None:
        """What every layer gets as `context.positions`, of the (B or 1, S) numbers of its positions."""

    def speech(self, states: Tensor, kind: str) -> Tensor:
        """(B, N, C) states of a prefix -> (B, N, C): what the first layer reads; `kind` is one of PREFIX_POSITIONS."""
        return states if kind == "none" else self.added(states, self.speech_numbers(states))

    @staticmethod
    def speech_numbers(states: Tensor, kind: str = "own") -> Tensor:
        """The (1, N) numbers of the states (B, N, C) of a prefix."""
        numbers = torch.arange(states.size(1), device=states.device)[None]
        return torch.zeros_like(numbers) if kind == "none" else numbers


class SinusoidsOfDecoder(DecoderPositions):
    """Sinusoids added to embeddings."""

    self_attention, in_layers = SelfAttention, False
    label = help = "sinusoidal"

    def __init__(self, dim: int, num_heads: int, num_positions: int):
        super().__init__(dim, num_heads, num_positions)
        self.sinusoids = SinusoidalPositions(dim, num_positions)

    def reserve(self, num_positions: int) -> None:
        self.sinusoids.reserve(num_positions)

    def added(self, x: Tensor, numbers: Tensor) -> Tensor:
        return x + embedding(numbers, self.sinusoids.table).to(x.dtype)

    def for_layers(self, numbers: Tensor) -> None:
        return None


class RotaryOfDecoder(DecoderPositions):
    """Rotary positions in self-attention; nothing is added."""

    self_attention, in_layers = RotarySelfAttention, True
    label = "rotary (rope)"
    help = "rotary, in self-attention"

    def __init__(self, dim: int, num_heads: int, num_positions: int):
        super().__init__(dim, num_heads, num_positions)
        self.head_dim = dim // num_heads

    def added(self, x: Tensor, numbers: Tensor) -> Tensor:
        return x

    def for_layers(self, numbers: Tensor) -> Tensor:
        """(B or 1, 1, S, D): cosines, then sines, the same for all heads."""
        return rotary_angles(numbers, self.head_dim)[:, None]


DECODER_POSITIONS: dict[str, type[DecoderPositions]] = {"sinusoidal": SinusoidsOfDecoder, "rope": RotaryOfDecoder}
