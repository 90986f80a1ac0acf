"""P values of several tests, adjusted for their number."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The p values of several tests, adjusted so that the chance of any false alarm stays that of one test.

    Args:
        p_values: any shape; nan stays nan and does not count as a test.

    Source: Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p_values.shape, np.nan)
    known = ~np.isnan(p_values)
    order = np.argsort(p_values[known], kind="stable")
    factors = np.arange(len(order), 0, -1)
    values = np.empty(len(order))
    values[order] = np.minimum(np.maximum.accumulate(factors * p_values[known][order]), 1)
    adjusted[known] = values
    return adjusted
