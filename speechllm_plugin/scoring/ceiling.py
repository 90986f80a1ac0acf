"""What a model could score at most: the references themselves, as its vocabulary writes them."""

from collections.abc import Sequence
from typing import NamedTuple

from speechllm_plugin.scoring.metric import Metric
from speechllm_plugin.text.white_space import with_single_blanks

VISIBLE = 0.005  # smaller differences do not show in two decimals


class Ceiling(NamedTuple):
    """The ceiling of a test set.

    scores: metric -> score of the references as the vocabulary writes them, where it is worse than that of the references as they are.
    changed: rows whose reference it writes otherwise.
    """

    scores: dict[str, float]
    changed: list[int]


def ceiling(metrics: Sequence[Metric], targets: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> Ceiling:
    """Compare references with what fairseq-generate prints of them (T-), which is what the best output could be.

    Args:
        metrics: those that are quick to compute.
        targets, references, languages: one for each sentence.
    """
    changed = [row for row, pair in enumerate(zip(targets, references)) if with_single_blanks(pair[0]) != with_single_blanks(pair[1])]
    if not changed:
        return Ceiling({}, [])
    scores = {metric.name: metric.score(targets, references, languages) for metric in metrics}
    best = {metric.name: metric.score(references, references, languages) for metric in metrics}
    return Ceiling({name: score for name, score in scores.items() if abs(score - best[name]) >= VISIBLE}, changed)
