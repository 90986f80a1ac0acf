"""Compression of runs without segments of blanks: these are dropped, or go to what is said after them."""

from typing import Any

from torch import Tensor

from speechllm_plugin.models.compressions.label_runs import slow_runs
from speechllm_plugin.models.compressions.strategy import Strategy, equal_shares, equal_weights
from speechllm_plugin.models.ctc import starts_of_runs

RATE_WITHOUT_BLANKS = 6.0  # half of the runs of speech are blanks


def dropping_segments(logits: Tensor, padding: Tensor, cfg: Any) -> tuple[Tensor, Tensor]:
    """Runs without those of blanks; an utterance of nothing but blanks keeps them, as one segment."""
    labels, is_kept = spoken_labels(logits, padding)
    is_kept |= ~is_kept.any(1, keepdim=True)
    segment = (starts_of_runs(labels) & is_kept).cumsum(1) - 1  # -1 at blanks before the first
    return segment.clamp(min=0), is_kept.float()


def merging_segments(logits: Tensor, padding: Tensor, cfg: Any) -> tuple[Tensor, Tensor]:
    """Runs with the blanks before them, the last one also with those at the end; nothing but blanks is one segment."""
    labels, is_spoken = spoken_labels(logits, padding)
    starts = starts_of_runs(labels)
    starts[:, 1:] &= is_spoken[:, :-1]  # nothing starts after a blank
    segment = starts.cumsum(1) - 1
    last = segment.masked_fill(~is_spoken, 0).amax(1, keepdim=True)
    return segment.minimum(last), equal_weights(logits)


def spoken_labels(logits: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
    """The (B, S) best labels, and True where they are not blank and no padding."""
    labels = logits.argmax(-1)
    return labels, (labels != logits.size(-1) - 1) & ~padding


def slow_dropping(labels: list[int], blank: int, cfg: Any) -> list[list[int]]:
    runs = slow_runs(labels, blank, cfg)
    return [run for run in runs if labels[run[0]] != blank] or [list(range(len(labels)))]


def slow_merging(labels: list[int], blank: int, cfg: Any) -> list[list[int]]:
    if set(labels) == {blank}:
        return [list(range(len(labels)))]
    segments: list[list[int]] = []
    blanks: list[int] = []
    for run in slow_runs(labels, blank, cfg):
        if labels[run[0]] == blank:
            blanks = run
        else:
            segments.append(blanks + run)
            blanks = []
    segments[-1] += blanks
    return segments


def assumed_rate(cfg: Any) -> float:
    return RATE_WITHOUT_BLANKS


DROP_BLANKS = Strategy(
    help="avg without blanks, unless there is nothing else",
    segments=dropping_segments,
    slow_segments=slow_dropping,
    slow_weights=equal_shares,
    assumed_rate=assumed_rate,
)
MERGE_BLANKS = Strategy(
    help="avg with blanks in what follows them, those at the end in what precedes them",
    segments=merging_segments,
    slow_segments=slow_merging,
    slow_weights=equal_shares,
    assumed_rate=assumed_rate,
)
