"""Voice activity: Silero's network as its package computes it, and spans that do not depend on what else is heard."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import silero_vad
import soundfile
import torch
from gpu import needs_gpu

from speechllm_plugin.transcription import voice_activity
from speechllm_plugin.transcription.loaded_sound import LoadedSound
from speechllm_plugin.transcription.voice_activity import VoiceActivity
from speechllm_plugin.transcription.voice_network import CHUNK_SAMPLES, CONTEXT_SAMPLES, VoiceNetwork

CPU = torch.device("cpu")
RECORDINGS = sorted((Path(__file__).resolve().parents[2] / "examples/digits/recordings").glob("*.flac"))
WAVEFORMS = [soundfile.read(path, dtype="float32")[0] for path in RECORDINGS]


@pytest.fixture(scope="module")
def activity():
    return VoiceActivity(CPU)


def talk(pause_seconds):
    pause = np.zeros(int(pause_seconds * 16000), np.float32)
    return np.concatenate([part for waveform in WAVEFORMS for part in (pause, waveform)])


def test_the_network_is_that_of_the_package():
    rows = torch.zeros(2, 40 * CHUNK_SAMPLES)
    for row, waveform in zip(rows, WAVEFORMS):
        row[: len(waveform)] = torch.from_numpy(waveform)[: rows.size(1)]
    published = silero_vad.load_silero_vad()
    expected = torch.cat([published(chunk, 16000) for chunk in rows.split(CHUNK_SAMPLES, 1)], dim=1)
    with torch.no_grad():
        found = VoiceNetwork()(torch.nn.functional.pad(rows, (CONTEXT_SAMPLES, 0)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert expected.max() > 0.9


def test_torch_keeps_its_threads():
    """The package gives the whole process one."""
    counted = "import torch; torch.set_num_threads(3); from speechllm_plugin.transcription.voice_activity import VoiceActivity"
    counted += "; print(torch.get_num_threads(), VoiceActivity(torch.device('cpu')) and torch.get_num_threads())"
    assert subprocess.run([sys.executable, "-c", counted], check=True, stdout=subprocess.PIPE, text=True).stdout.split() == ["3", "3"]


def test_spans_do_not_depend_on_neighbours(activity):
    waveforms = [talk(0.4), *WAVEFORMS, talk(1.0), np.zeros(9, np.float32)]
    together = activity.spans(LoadedSound(waveforms, CPU))
    assert together == [activity.spans(LoadedSound([waveform], CPU))[0] for waveform in waveforms] and together[-1] == []


def test_blocks_hear_what_one_row_hears(activity, monkeypatch):
    sound = LoadedSound([talk(0.5)], CPU)
    whole = activity.probabilities(sound)[0]
    monkeypatch.setattr(voice_activity, "BLOCK_CHUNKS", 60)
    in_blocks = activity.probabilities(sound)[0]
    assert (np.abs(in_blocks - whole) > 0.3).mean() < 0.05 and in_blocks.shape == whole.shape


def test_speech_begins_and_ends_with_its_sound(activity):
    pause = np.zeros(8000, np.float32)
    for waveform in WAVEFORMS:
        spans = activity.spans(LoadedSound([np.concatenate([pause, waveform, pause])], CPU))[0]
        assert abs(spans[0][0] - 8000) <= 480 and abs(spans[-1][1] - 8000 - len(waveform)) <= 480  # 30 ms


@needs_gpu
def test_a_gpu_hears_what_a_cpu_hears(activity):
    waveforms = [talk(0.4), *WAVEFORMS, talk(1.0)]
    on_gpu = VoiceActivity(torch.device("cuda")).probabilities(LoadedSound(waveforms, torch.device("cuda")))
    for one, other in zip(on_gpu, activity.probabilities(LoadedSound(waveforms, CPU)), strict=True):
        assert np.abs(one - other).max() < 0.05  # convolutions have short mantissas there
