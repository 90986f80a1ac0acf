"""Metrics: statistics that each sentence adds, one formula over any sum of them, and a signature.

Statistics of sentences are summed before the formula, so that a corpus, a slice, a resample of a significance test and the mean
over languages all come from one pass over the texts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from speechllm_plugin.scoring.measures import check_paired

Statistics = Callable[[Sequence[str], Sequence[str], Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Metric:
    """One metric. Shapes: N sentences, K statistics of each.

    name: key in METRICS, in JSON files, and on the command line.
    heading: in tables.
    statistics: (hypotheses, references, languages) -> (N, K) float64. Languages are the tgt_lang of each row, "" where unknown.
        ValueError: not as many of one as of the others, or a library for one of the languages is not installed.
    formula: (..., K) sums of statistics -> (...) scores in percent, nan where there is no reference text.
    signature: languages -> what a reader needs to compute the same, in the manner of sacreBLEU.
    may_count_nothing: whether texts may rightly have nothing that it counts: a slice without hot words has no score and is no error.
    choice: name on the command line of `speechllm score` if it is that of several metrics, which are computed together.
    """

    name: str
    heading: str
    lower_is_better: bool
    statistics: Statistics
    formula: Callable[[np.ndarray], np.ndarray]
    signature: Callable[[Sequence[str]], str]
    choice: str = ""
    may_count_nothing: bool = False

    def score(self, hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> float:
        """The score of a corpus in percent; nan where the references have no text."""
        return float(self.formula(self.statistics(hypotheses, references, languages).sum(0)))


def checked(compute: Callable[[Sequence[str], Sequence[str], Sequence[str]], object]) -> Statistics:
    """The `statistics` of a metric from a function that makes N rows of numbers of texts that agree in number."""

    def statistics(hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> np.ndarray:
        check_paired(hypotheses=hypotheses, references=references, languages=languages)
        return np.asarray(compute(hypotheses, references, languages), dtype=np.float64)

    return statistics
