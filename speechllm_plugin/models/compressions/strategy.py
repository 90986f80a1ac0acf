"""A strategy of CTC compression: which states become one, and with which shares; fast for batches, and as a plain loop for tests.

A new strategy is one file in this folder with a Strategy, and one line in COMPRESSIONS. The plain loop is what `speechllm check` and the
tests compare the fast function with: write it from the description, not from the fast function.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def no_contradictions(cfg: Any) -> None:
    """The check of a strategy without flags of its own."""


@dataclass(frozen=True)
class Strategy:
    """A choice of --ctc-compression.

    help:            the state that several become, in the words of --help.
    segments:        (logits (B, S, V + 1), padding (B, S), flags) -> the (B, S) segment number of every state, as pool_segments takes it,
                     and its (B, S) weight in its segment. No loops, no wait for the device.
    slow_segments:   (best labels of one utterance, the blank, flags) -> the states of each segment, as lists of numbers. One that asks for
                     them (asks_blank_probabilities) gets the blank's probability in each state as well.
    slow_weights:    (probabilities (n,) of the best labels of a segment's states) -> their (n,) shares, of sum 1.
    assumed_rate:    flags -> states before / after compression; what `speechllm describe` assumes of speech, if it depends on the data.
    depends_on_data: whether the number of segments does.
    flags:           dataclass of the flags that only this strategy reads; all models get them.
    check:           raises ValueError for such flags of any model, whichever its strategy.
    """

    help: str
    segments: Callable[[Tensor, Tensor, Any], tuple[Tensor, Tensor]]
    slow_segments: Callable[..., list[list[int]]]
    slow_weights: Callable[[Tensor], Tensor]
    assumed_rate: Callable[[Any], float]
    depends_on_data: bool = True
    asks_blank_probabilities: bool = False
    flags: type | None = None
    check: Callable[[Any], None] = no_contradictions


def equal_weights(logits: Tensor) -> Tensor:
    """The (B, S) weights of one, for logits (B, S, V + 1)."""
    return torch.ones_like(logits[..., 0])


def equal_shares(probabilities: Tensor) -> Tensor:
    """The (n,) shares of one n-th: the slow counterpart of equal_weights."""
    return torch.full_like(probabilities, 1 / len(probabilities))
