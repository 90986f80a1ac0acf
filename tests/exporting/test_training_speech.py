"""What `speechllm export` hears of a training set."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.features import num_frames
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.exporting import training_speech

RECORDINGS = sorted((Path(__file__).resolve().parents[2] / "examples/digits/recordings").glob("*.flac"))


@pytest.mark.parametrize("subtype, bits", [("PCM_16", 16), ("FLOAT", None)])
def test_bits_of_samples_and_pauses_are_heard(tmp_path, subtype, bits):
    rows = []
    for number, path in enumerate(RECORDINGS):
        samples, _ = soundfile.read(path, dtype="float32")
        narrow = soxr.resample(soxr.resample(samples, 16000, 8000), 8000, 16000)  # without anything above 4 kHz, as such recordings are
        narrow = np.concatenate([narrow, np.zeros(8000), narrow]).astype(np.float32)  # a pause of half a second
        soundfile.write(tmp_path / f"{number}.wav", narrow, 16000, subtype=subtype)
        rows.append(Utterance(str(number), f"{number}.wav", num_frames(len(narrow)), "Text."))
    pause, found = training_speech.heard(rows, DataConfig(tmp_path / "config.yaml", {}))
    assert found == bits and 0.45 < pause < 0.7
