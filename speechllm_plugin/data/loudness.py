"""What counts as loud in speech, and what as a pause, by level alone."""

import numpy as np

# Of the loudest moments, and what is so much less loud; chosen on the digits' development set.
LOUD_QUANTILE, QUIET_DECIBELS = 0.95, 40.0


def is_loud(decibels: np.ndarray) -> np.ndarray:
    """(T,) whether each moment is not far less loud than the loudest of these (T,) levels."""
    return decibels > np.quantile(decibels, LOUD_QUANTILE) - QUIET_DECIBELS
