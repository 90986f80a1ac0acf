"""Measures: counts per sentence out of another count, such as loops out of outputs, tested for significance as metrics are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from speechllm_plugin.scoring.share import share


class Measure(NamedTuple):
    """A count of each of N sentences, out of another count. Its formula, for significance tests as well, is `share`."""

    name: str
    heading: str
    group: str  # measures of a group belong into one table
    statistics: np.ndarray  # (N, 2) float64 per sentence: count, and out of how many
    lower_is_better: bool
    explanation: str  # one sentence for people
    of_references: np.ndarray | None = None  # (N, 2) the same for the references as if they were hypotheses; None where that is 0 or says nothing

    def score(self) -> float:
        """Percent over all sentences; nan where the second count is 0."""
        return float(share(self.statistics.sum(axis=0)))


def counts(count: ArrayLike, out_of: ArrayLike) -> np.ndarray:
    """(N, 2) statistics of a Measure from two sequences of N numbers or truth values."""
    return np.stack([np.asarray(count, dtype=np.float64), np.asarray(out_of, dtype=np.float64)], axis=-1)


def check_paired(**lists: Sequence) -> None:
    """Check that lists have as many entries as each other.

    Args:
        lists: by their names, for the message.

    Raises:
        ValueError: they differ in length.
    """
    if len({len(each) for each in lists.values()}) > 1:
        lengths = ", ".join(f"{len(each)} {name}" for name, each in lists.items())
        raise ValueError(f"there must be one of each for every sentence, but there are {lengths}; give those of one test set")
