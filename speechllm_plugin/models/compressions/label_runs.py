"""Compression of runs: consecutive states with the same best label become one, blanks among them.

Source: Gaido et al. 2021, CTC-based Compression for Direct Speech Translation (arXiv:2102.01578).
"""

import itertools
from typing import Any

from torch import Tensor

from speechllm_plugin.models.compressions.strategy import Strategy, equal_shares, equal_weights
from speechllm_plugin.models.ctc import starts_of_runs

# Ten seconds of speech are 250 states and about 40 tokens, each a run of labels and a run of blanks: some 80 segments.
RATE_OF_LABEL_RUNS = 3.0


def average_segments(logits: Tensor, padding: Tensor, cfg: Any) -> tuple[Tensor, Tensor]:
    return starts_of_runs(logits.argmax(-1)).cumsum(1) - 1, equal_weights(logits)


def weighted_segments(logits: Tensor, padding: Tensor, cfg: Any) -> tuple[Tensor, Tensor]:
    best, labels = logits.float().max(-1)
    return starts_of_runs(labels).cumsum(1) - 1, (best - logits.float().logsumexp(-1)).exp()


def softmax_segments(logits: Tensor, padding: Tensor, cfg: Any) -> tuple[Tensor, Tensor]:
    """A softmax over the probabilities of a segment, as in the study's code: weights go from 1 to e only."""
    segment, probability = weighted_segments(logits, padding, cfg)
    return segment, probability.exp()


def slow_runs(labels: list[int], blank: int, cfg: Any) -> list[list[int]]:
    return [list(run) for _, run in itertools.groupby(range(len(labels)), key=labels.__getitem__)]


def assumed_rate(cfg: Any) -> float:
    return RATE_OF_LABEL_RUNS


AVERAGE = Strategy(
    help="mean of those that share a CTC label",
    segments=average_segments,
    slow_segments=slow_runs,
    slow_weights=equal_shares,
    assumed_rate=assumed_rate,
)
WEIGHTED = Strategy(
    help="their mean weighted by the label's probability",
    segments=weighted_segments,
    slow_segments=slow_runs,
    slow_weights=lambda probabilities: probabilities / probabilities.sum(),
    assumed_rate=assumed_rate,
)
SOFTMAX = Strategy(
    help="their mean weighted by a softmax over these probabilities",
    segments=softmax_segments,
    slow_segments=slow_runs,
    slow_weights=lambda probabilities: probabilities.softmax(0),
    assumed_rate=assumed_rate,
)
