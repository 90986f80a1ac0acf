"""A system's scores on a test set: of all of its sentences, of some, and against another system."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data.manifest import UTTERANCE_COLUMNS, Utterance
from speechllm_plugin.scoring.metric import Metric
from speechllm_plugin.scoring.significance import NUM_RESAMPLES, SEED, Comparison, compare, interval


class Score(NamedTuple):
    """The score of one metric; low and high are the ends of the bootstrap interval, nan where too few sentences tell."""

    metric: str
    score: float
    low: float
    high: float
    signature: str


class MeasuredOutputs(NamedTuple):
    """One system's outputs on a test set of N sentences.

    metrics: what was measured.
    statistics: name of a metric -> (N, K), what each sentence adds.
    languages: of the references.
    """

    metrics: Sequence[Metric]
    statistics: Mapping[str, np.ndarray]
    languages: Sequence[str]

    def scores(self, num_resamples: int = NUM_RESAMPLES, seed: int = SEED) -> list[Score]:
        """The score of every metric with its interval and signature."""
        found = [(metric, interval(metric.formula, self.statistics[metric.name][None], num_resamples, seed)) for metric in self.metrics]
        return [Score(metric.name, each.score, each.low, each.high, metric.signature(self.languages)) for metric, each in found]

    def of(self, rows: Sequence[int]) -> "MeasuredOutputs":
        """The outputs for some of the sentences."""
        statistics = {name: each[rows] for name, each in self.statistics.items()}
        return MeasuredOutputs(self.metrics, statistics, [self.languages[row] for row in rows])

    def score_only(self) -> dict[str, float]:
        """Metric -> score, without an interval."""
        return {metric.name: float(metric.formula(self.statistics[metric.name].sum(0))) for metric in self.metrics}

    def compare(self, other: "MeasuredOutputs", num_resamples: int = NUM_RESAMPLES, seed: int = SEED) -> dict[str, Comparison]:
        """Metric -> difference to another system on the same sentences."""
        pairs = {metric: (self.statistics[metric.name][None], other.statistics[metric.name][None]) for metric in self.metrics}
        return {metric.name: compare(metric.formula, *pair, num_resamples, num_resamples, seed) for metric, pair in pairs.items()}


def measure(metrics: Sequence[Metric], hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> MeasuredOutputs:
    """The statistics of a system's hypotheses.

    Args:
        metrics: what to compute.
        hypotheses, references: a text for each sentence.
        languages: of the references; "" where unknown.

    Raises:
        ValueError: there are not as many of each, no reference has any text, or the references of a metric have none that it
            counts (normalisation removes punctuation).
    """
    if not any(reference.strip() for reference in references):
        raise ValueError(f"scoring needs reference text, but all {len(references)} references (tgt_text) are empty")
    outputs = MeasuredOutputs(metrics, {metric.name: metric.statistics(hypotheses, references, languages) for metric in metrics}, languages)
    check_scores(outputs, f"{len(references)} references")
    return outputs


def check_scores(outputs: MeasuredOutputs, where: str) -> None:
    """Raise ValueError where a metric has no score that must have one; `where` names the references for the message."""
    scores = outputs.score_only()
    missing = [metric.name for metric in outputs.metrics if math.isnan(scores[metric.name]) and not metric.may_count_nothing]
    if missing:
        raise ValueError(f"{' '.join(missing)} cannot be computed: the {where} (tgt_text) have no text that counts; score other metrics or rows")


def rows_by(column: str, utterances: Sequence[Utterance]) -> dict[str, list[int]]:
    """Value of a column of the manifest -> its rows, values sorted.

    Raises:
        ValueError: the manifest has no such column.
    """
    rows: dict[str, list[int]] = {}
    for row, utterance in enumerate(utterances):
        rows.setdefault(_value(utterance, column), []).append(row)
    return dict(sorted(rows.items()))


def _value(utterance: Utterance, column: str) -> str:
    if column in UTTERANCE_COLUMNS:
        return str(getattr(utterance, column))
    if column not in utterance.extra:
        columns = " ".join([*UTTERANCE_COLUMNS, *utterance.extra])
        raise ValueError(f"--by must be a column of the manifest ({columns}), but is {column}; correct it")
    return utterance.extra[column]
