"""Training rows at several speeds (`speechllm prepare --speed-perturbation`): each plays faster or slower, pitch included.

Source: Ko et al. 2015, Audio Augmentation for Speech Recognition (Interspeech).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import soxr

from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.preparation.corpora import TRAIN_SPLIT
from speechllm_plugin.preparation.corpus_row import CorpusRow

SPEED_COLUMN = "speed"


def apply(contents: Mapping[str, Sequence[CorpusRow]], speeds: Sequence[float]) -> dict[str, list[CorpusRow]]:
    """The rows by split, those of training once for each speed, with the speed as a column; other splits as they are.

    Raises:
        ValueError: the corpus has such a column.
    """
    if not speeds:
        return {split: list(rows) for split, rows in contents.items()}
    return {split: _at_speeds(rows, speeds) if split == TRAIN_SPLIT else list(rows) for split, rows in contents.items()}


def played(waveform: np.ndarray, speed: float) -> np.ndarray:
    """A waveform as it sounds at a speed: (n,) float32 becomes (n / speed,) at the same sample rate."""
    return waveform if speed == 1 else soxr.resample(waveform, SAMPLE_RATE * speed, SAMPLE_RATE, quality="HQ")


def _at_speeds(rows: Sequence[CorpusRow], speeds: Sequence[float]) -> list[CorpusRow]:
    perturbed = []
    for speed in speeds:
        for row in rows:
            utterance = row.utterance
            if SPEED_COLUMN in utterance.extra:
                raise ValueError(f"{row.place}: --speed-perturbation writes the column {SPEED_COLUMN}; give that of the corpus another name")
            extra = utterance.extra | {SPEED_COLUMN: f"{speed:g}"}
            utterance_id = utterance.id if speed == 1 else f"{utterance.id}_speed{speed:g}"
            perturbed.append(replace(row, utterance=replace(utterance, id=utterance_id, extra=extra), speed=speed))
    return perturbed
