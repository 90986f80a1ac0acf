"""Wavs of one length, cut from recordings, and their manifest, so that fairseq-generate can be timed on the same sound."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from speechllm_plugin.data import features, manifest
from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.transcription import recordings
from speechllm_plugin.transcription.recordings import Recording

CUT_SPLIT = "test"
STEP_SAMPLES = 997  # between the beginnings of two wavs: no two are alike


def cut(sources: Sequence[Recording], seconds: float, number: int, folder: Path) -> Path:
    """Write `number` wavs of 16 bits, and test.tsv; returns the folder of the wavs.

    The sources one behind the other, again and again, are what each is cut from, a little later than the one before.

    Raises:
        ValueError: a source cannot be read.
    """
    speech = np.concatenate([recordings.read(each.source) for each in sources])
    wavs, num_samples, rows = folder / "wav", round(seconds * SAMPLE_RATE), []
    wavs.mkdir()
    for row in range(number):
        path = wavs / f"{row:06}.wav"
        soundfile.write(path, np.resize(np.roll(speech, -row * STEP_SAMPLES), num_samples), SAMPLE_RATE, subtype="PCM_16")
        rows.append(Utterance(path.stem, f"wav/{path.name}", features.num_frames(num_samples), "a", "", "a", "en", "en"))
    manifest.write(folder / f"{CUT_SPLIT}.tsv", rows)
    return wavs
