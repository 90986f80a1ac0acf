"""Quantities of several systems with their intervals, differences and significance: the numbers behind every table of a report."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from speechllm_plugin.scoring import significance
from speechllm_plugin.scoring.group_mean import formula_of_groups, statistics_of_groups
from speechllm_plugin.scoring.holm import holm
from speechllm_plugin.scoring.measures import Measure
from speechllm_plugin.scoring.metrics import Metric
from speechllm_plugin.scoring.share import share
from speechllm_plugin.scoring.significance import Comparison, Interval

LEVEL = 0.05


class Settings(NamedTuple):
    """The number of resamples of every test, and the seed: the same seed gives the same numbers."""

    num_resamples: int = significance.NUM_RESAMPLES
    seed: int = significance.SEED


class Quantity(NamedTuple):
    """Something to compare: an error rate, a score, a share.

    heading:    as it stands in a table.
    formula:    sums of statistics -> values.
    statistics: (M, N, K) of each system, for M training seeds and N sentences.
    """

    heading: str
    lower_is_better: bool
    formula: Callable
    statistics: Sequence[np.ndarray]

    @property
    def num_rows(self) -> int:
        return self.statistics[0].shape[1]

    def of_rows(self, heading: str, rows: np.ndarray) -> "Quantity":
        """The quantity on some of the sentences. rows: (N,) bool."""
        return self._replace(heading=heading, statistics=[statistics[:, rows] for statistics in self.statistics])


class Result(NamedTuple):
    """What is known of a quantity.

    intervals:   of each system.
    comparisons: of the first system with each other one, first minus other.
    adjusted:    p of approximate randomisation after Holm's correction, of each comparison.
    """

    quantity: Quantity
    intervals: list[Interval]
    comparisons: list[Comparison]
    adjusted: list[float]

    def winner(self, other: int) -> int | None:
        """The number of the system that is better with significance after Holm's correction: 0 or `other`; None where neither is."""
        if not self.adjusted[other - 1] < LEVEL:
            return None
        return 0 if (self.comparisons[other - 1].difference < 0) == self.quantity.lower_is_better else other


def intervals(quantity: Quantity, settings: Settings) -> list[Interval]:
    """The Interval of each system."""
    with _resampling():
        return [significance.interval(quantity.formula, each, settings.num_resamples, settings.seed) for each in quantity.statistics]


def evaluate(quantities: Sequence[Quantity], settings: Settings) -> list[Result]:
    """The Result of each quantity. Holm's correction is over all quantities and all pairs of systems together."""
    resampling = {"num_resamples": settings.num_resamples, "num_trials": settings.num_resamples, "seed": settings.seed}
    with _resampling():
        found = [significance.compare_all(quantity.formula, quantity.statistics, **resampling) for quantity in quantities]
    adjusted = holm([[comparison.p_randomisation for comparison in comparisons] for _, comparisons in found])
    return [Result(quantity, *numbers, p_values.tolist()) for quantity, numbers, p_values in zip(quantities, found, adjusted)]


def of_metric(metric: Metric, hypotheses: Sequence[Sequence[Sequence[str]]], references: Sequence[str], languages: Sequence[str]) -> Quantity:
    """The Quantity of a metric.

    Args:
        hypotheses: of each system, of each of its seeds, N texts.
        references, languages: of the N sentences.
    """
    statistics = [np.stack([metric.statistics(texts, references, languages) for texts in seeds]) for seeds in hypotheses]
    return Quantity(metric.heading, metric.lower_is_better, metric.formula, statistics)


def of_measures(measures: Sequence[Sequence[Measure]]) -> Quantity:
    """The Quantity of one measure. measures: of each system, of each of its seeds."""
    first = measures[0][0]
    statistics = [np.stack([measure.statistics for measure in seeds]) for seeds in measures]
    return Quantity(first.heading, first.lower_is_better, share, statistics)


def mean_over(groups: Sequence[np.ndarray], quantity: Quantity) -> Quantity:
    """The mean of a quantity over groups of sentences (languages), each of which counts the same. groups: (N,) bool each, none empty."""
    statistics = [statistics_of_groups(each, groups) for each in quantity.statistics]
    formula = formula_of_groups(quantity.formula, len(groups))
    return quantity._replace(heading=f"{quantity.heading}, mean", formula=formula, statistics=statistics)


def loss_of_sentences(quantity: Quantity, system: int) -> np.ndarray:
    """(N,) points of the quantity by which the system would be better without each sentence, mean over its seeds."""
    statistics = quantity.statistics[system]
    total = statistics.sum(axis=1, keepdims=True)
    gain = quantity.formula(total - statistics) - quantity.formula(total)  # (M, N)
    return (-gain if quantity.lower_is_better else gain).mean(axis=0)


@contextlib.contextmanager
def _resampling() -> Iterator[None]:
    """A context in which numpy multiplies with one thread, and quantities of as many sentences, one after another, share their resamples.

    Threads that wait for one another gain nothing here, and on a busy machine double the time.
    """
    from threadpoolctl import threadpool_limits  # of scikit-learn's requirements

    with threadpool_limits(1, user_api="blas"):
        try:
            yield
        finally:
            significance.free_resamples()
