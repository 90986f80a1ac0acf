"""Compression that drops states of blanks and merges nothing: what is left are states as they were, never fewer than a share of all.

Source: CTC compression by blank removal with a minimum length: arXiv:2411.07607.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from speechllm_plugin.models.compressions.strategy import Strategy, equal_shares

STATES_OF_A_LABEL = 1.5  # CTC emits a label for one state, or two
STATES_AND_LABELS = 250, 40  # of ten seconds of speech


@dataclass
class BlankStateFlags:
    """The flags that only this strategy reads."""

    ctc_compression_min_share: float = field(
        default=0.1,
        metadata={
            "help": "share of its states that --ctc-compression drop_blank_states leaves an utterance at least, rounded up: where fewer are no "
            "blanks, also those in which a blank is least probable"
        },
    )


def check(cfg: Any) -> None:
    if not 0 < cfg.ctc_compression_min_share <= 1:
        raise ValueError(f"--ctc-compression-min-share must be above 0 and at most 1, but is {cfg.ctc_compression_min_share}")


def segments(logits: Tensor, padding: Tensor, cfg: Any) -> tuple[Tensor, Tensor]:
    blank, others = logits[..., -1].float(), logits[..., :-1].float()
    odds = blank - others.logsumexp(-1)  # of a blank; unlike its probability, never rounded to the same for all
    is_spoken = (logits.argmax(-1) != logits.size(-1) - 1) & ~padding
    odds = odds.masked_fill(is_spoken, -math.inf).masked_fill(padding, math.inf)
    rank = odds.argsort(dim=1, stable=True).argsort(dim=1)  # (B, S), from 0: the spoken states come first
    least = ((~padding).sum(1).double() * cfg.ctc_compression_min_share).ceil()
    is_kept = rank < torch.maximum(least, is_spoken.sum(1))[:, None]
    return (is_kept.cumsum(1) - 1).clamp(min=0), is_kept.float()


def slow_segments(labels: list[int], blank: int, cfg: Any, blank_probabilities: list[float]) -> list[list[int]]:
    kept = [state for state, label in enumerate(labels) if label != blank]
    blanks = sorted((state for state, label in enumerate(labels) if label == blank), key=blank_probabilities.__getitem__)
    missing = math.ceil(len(labels) * cfg.ctc_compression_min_share) - len(kept)
    return [[state] for state in sorted(kept + blanks[: max(0, missing)])]


def assumed_rate(cfg: Any) -> float:
    num_states, num_labels = STATES_AND_LABELS
    return min(num_states / (STATES_OF_A_LABEL * num_labels), 1 / cfg.ctc_compression_min_share)


DROP_BLANK_STATES = Strategy(
    help="states without blanks as they are, at least --ctc-compression-min-share of them",
    segments=segments,
    slow_segments=slow_segments,
    slow_weights=equal_shares,
    assumed_rate=assumed_rate,
    asks_blank_probabilities=True,
    flags=BlankStateFlags,
    check=check,
)
