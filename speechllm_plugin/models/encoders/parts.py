"""The parts of a speech encoder: what a choice of --encoder consists of, and what each part must be able to do.

A new encoder is one file in this folder with the parts that are its own and an EncoderKind of them, and one line in ENCODER_LAYERS.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from speechllm_plugin.models.attention import Sight
from speechllm_plugin.models.positions import FlagPositions, SpeechPositions
from speechllm_plugin.models.subsampling import ConvolutionalSubsampling, Subsampling


class SpeechContext(NamedTuple):
    """The utterances as every layer knows them.

    padding:   (B, S).
    mask:      (B, 1, 1, S) True where attention may look.
    lengths:   (B,) number of states.
    positions: what `for_layers` of the encoder's positions gives.
    """

    padding: Tensor
    mask: Tensor
    lengths: Tensor
    positions: Any

    @property
    def sight(self) -> Sight:
        """The mask in numbers."""
        return Sight(self.padding.size(1), self.lengths)


class EncoderLayer(nn.Module, ABC):
    """Base of the layers of an encoder; built as EncoderLayer(flags), in which --relative-positions is never `auto`."""

    @abstractmethod
    def forward(self, x: Tensor, context: SpeechContext) -> Tensor:
        """(B, S, C) -> (B, S, C). States at padding are arbitrary: no other state may depend on them."""

    @abstractmethod
    def flops(self, num_states: int) -> int:
        """Operations for one utterance; see models/cost.py for what counts."""


def no_contradictions(cfg: Any) -> None:
    """The check of parts whose flags go together whatever they are."""


@dataclass(frozen=True)
class EncoderKind:
    """A choice of --encoder.

    layer:             of which --encoder-layers are stacked; None: the decoder reads the subsampled states.
    final_norm:        whether a LayerNorm follows the last layer.
    default_positions: what --relative-positions auto means, if the positions are as that flag says.
    flags:             dataclass of the flags that only this encoder reads; all models get them.
    check:             raises ValueError for flags of any model, whichever its encoder, that contradict each other.
    """

    layer: type[EncoderLayer] | None
    final_norm: bool = True
    subsampling: type[Subsampling] = ConvolutionalSubsampling
    positions: type[SpeechPositions] = FlagPositions
    default_positions: str = "none"
    flags: type | None = None
    check: Callable[[Any], None] = no_contradictions

    def __post_init__(self) -> None:
        """An encoder that does not say its operations or its lengths is an error when it is imported."""
        for part in (self.layer, self.subsampling):
            if part is not None and inspect.isabstract(part):
                raise TypeError(f"{part.__module__}.{part.__name__} must define {', '.join(sorted(part.__abstractmethods__))}")
