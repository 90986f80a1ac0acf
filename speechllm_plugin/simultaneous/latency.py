"""How long after the speech a text comes: Average Lagging, and its form that does not reward long outputs.

Formulas as SimulEval 1.1 computes them, of units (words or characters) with their delays in milliseconds.

Sources: Ma et al. 2019, STACL (arXiv:1810.08398), for speech Ma et al. 2020 (arXiv:2011.02048); Papi et al. 2022, Over-Generation Cannot Be
Rewarded (arXiv:2206.05807), and Polak et al. 2022.
"""

from collections.abc import Sequence


def average_lagging(delays: Sequence[float], source_ms: float, num_units: int) -> float:
    """AL in milliseconds: the mean lag behind a writer who spreads `num_units` evenly over the speech, up to the first delay at its end.

    Args:
        delays: of each unit that was written, at least one; the speech that had arrived, or with computing time added.
        source_ms: length of the speech.
        num_units: of the reference.
    """
    if delays[0] > source_ms:
        return delays[0]
    last = next((number for number, delay in enumerate(delays) if delay >= source_ms), len(delays) - 1)
    lags = [delay - number * source_ms / num_units for number, delay in enumerate(delays[: last + 1])]
    return sum(lags) / len(lags)


def length_adaptive_average_lagging(delays: Sequence[float], source_ms: float, num_units: int) -> float:
    """LAAL in milliseconds: AL with the units of the text or of the reference, whichever has more."""
    return average_lagging(delays, source_ms, max(num_units, len(delays)))
