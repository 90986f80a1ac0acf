"""What a model was trained to hear, in numbers, so that other recordings are given to it in the same form."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from speechllm_plugin.data import features
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.loudness import is_loud
from speechllm_plugin.data.manifest import Utterance

# How long the windows of a long recording and their pauses may be: as those of all but one in a hundred training utterances.
USUAL_QUANTILE = 0.99
UTTERANCES_HEARD = 1000  # at most, evenly over the training set
# Sound of 16 bits is exactly silent, or at least so loud, but for few filterbanks (at the edge of silence): rounding leaves more than 0 in each.
EXACT_SILENCE, AUDIBLE, SHARE_BETWEEN = -15.9, 0.0, 0.05


def lengths(rows: Sequence[Utterance]) -> dict[str, Any]:
    """Number, hours and lengths of utterances: a recording is cut to what the model has seen."""
    seconds = np.array([row.n_frames for row in rows]) / features.FRAMES_PER_SECOND
    median, usual, longest = np.quantile(seconds, [0.5, USUAL_QUANTILE, 1]).round(2).tolist()
    hours = round(float(seconds.sum()) / 3600, 3)
    return {"utterances": len(rows), "hours": hours, "median_seconds": median, "window_seconds": usual, "longest_seconds": longest}


def heard(rows: Sequence[Utterance], config: DataConfig) -> tuple[float, int | None]:
    """The longest usual pause in seconds, and the bits of the samples: 16, or None if the features have what 16 bits cannot hold.

    Raises:
        ValueError: the sound or features of a row cannot be read.
    """
    pauses, between, num_values = [], 0, 0
    for row in rows[:: -(-len(rows) // UTTERANCES_HEARD)]:
        speech = features.read(row.audio, config.audio_root)
        pauses.append(longest_pause(speech))
        between += int(((speech > EXACT_SILENCE) & (speech < AUDIBLE)).sum())
        num_values += speech.size
    return round(float(np.quantile(pauses, USUAL_QUANTILE)), 2), 16 if between < SHARE_BETWEEN * num_values else None


def longest_pause(speech: np.ndarray) -> float:
    """Seconds of the longest stretch within (T, C) filterbanks that is far less loud than the rest."""
    decibels = 10 / np.log(10) * functools.reduce(np.logaddexp, speech.T)
    loud = np.flatnonzero(is_loud(decibels))
    return float(np.diff(loud).max(initial=1) - 1) * features.FRAME_SHIFT_SECONDS
