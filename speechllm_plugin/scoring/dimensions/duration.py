"""Slices by seconds of speech."""

from collections.abc import Sequence

import numpy as np

from speechllm_plugin.data.features import FRAME_SHIFT_SECONDS
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.scoring.dimension import Context, Dimension, Values, binned

BOUNDS_SECONDS = (2, 5, 10, 20)  # a bound belongs to the bin above it


def durations(utterances: Sequence[Utterance]) -> np.ndarray:
    """(N,) seconds of speech."""
    return np.array([utterance.n_frames for utterance in utterances], dtype=np.float64) * FRAME_SHIFT_SECONDS


def _values(context: Context) -> Values:
    seconds = BOUNDS_SECONDS
    labels = [f"< {seconds[0]} s", *(f"{low}-{high} s" for low, high in zip(seconds, seconds[1:])), f">= {seconds[-1]} s"]
    return binned(durations(context.utterances), seconds, labels)


DURATION = Dimension("Duration", "Seconds of speech.", _values)
