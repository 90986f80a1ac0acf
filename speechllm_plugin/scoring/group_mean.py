"""The mean of a score over groups of sentences (languages, say), in which every group counts the same, whatever its size."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Numbers = TypeVar("Numbers", float, np.ndarray)


def mean_of_groups(scores: Sequence[Numbers]) -> Numbers:
    """The mean of one score per group; scores are numbers, or arrays of one shape."""
    return functools.reduce(operator.add, scores) / len(scores)  # sum() of numbers, from Python 3.12 on, has other last bits than of arrays


def statistics_of_groups(statistics: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """Statistics of sentences for `formula_of_groups`.

    Args:
        statistics: (..., N, K) of the N sentences.
        groups: (N,) bool each, none empty: whether a sentence is in the group.

    Returns:
        (..., N, number of groups * K): the statistics of a sentence in its groups, zeros in the others.
    """
    masks = np.stack(groups, axis=-1)[:, :, None]  # (N, groups, 1)
    return (statistics[..., None, :] * masks).reshape(*statistics.shape[:-1], -1)


def formula_of_groups(formula: Callable[[np.ndarray], np.ndarray], num_groups: int) -> Callable[[np.ndarray], np.ndarray]:
    """The formula of the mean over groups, from the formula of one: sums of `statistics_of_groups` -> scores."""

    def of_groups(sums: np.ndarray) -> np.ndarray:
        scores = formula(sums.reshape(*sums.shape[:-1], num_groups, -1))
        return mean_of_groups(list(np.moveaxis(scores, -1, 0)))

    return of_groups
