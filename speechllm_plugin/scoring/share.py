"""The formula of every rate: a count in a hundred of another."""

import numpy as np


def share(sums: np.ndarray) -> np.ndarray:
    """The first of two sums per hundred of the second: over a corpus, long sentences weigh more. May be more than 100.

    Args:
        sums: (..., 2), not negative.

    Returns:
        (...), nan where the second is 0.
    """
    count, out_of = np.moveaxis(np.asarray(sums, dtype=np.float64), -1, 0)
    return 100 * np.divide(count, out_of, out=np.full_like(count, np.nan), where=out_of > 0)
