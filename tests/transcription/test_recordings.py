"""Recordings are read ahead: in order, with what cannot be read, and not all at once; ffmpeg reads the whole of a recording or none."""

import shutil
import subprocess
import time

import numpy as np
import pytest
import soundfile

from speechllm_plugin.transcription.recordings import Recording, decode, read, read_ahead

NAMED = [Recording(str(number), str(number), str(number)) for number in range(20)]


@pytest.mark.parametrize("num_readers", [1, 4])
def test_recordings_come_in_order_with_what_cannot_be_read(num_readers):
    def read(source):
        time.sleep(0.001 * (7 - int(source) % 7))
        if source == "3":
            raise ValueError("3: cut short")
        return np.full(int(source), 1.0)

    found = list(read_ahead(NAMED, read, num_readers))
    assert [recording for recording, _ in found] == NAMED and str(found[3][1]) == "3: cut short"
    assert [len(waveform) for _, waveform in found if not isinstance(waveform, ValueError)] == [n for n in range(20) if n != 3]


def test_memory_holds_few_recordings_at_a_time():
    started = []
    for position, _ in enumerate(read_ahead(NAMED, lambda source: started.append(source) or np.zeros(1), 4)):
        assert len(started) <= position + 1 + 4


def test_what_is_no_error_of_a_recording_ends_the_reading():
    def read(source):
        raise MemoryError(source)

    with pytest.raises(MemoryError):
        list(read_ahead(NAMED, read, 2))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("flags", [[], ["-movflags", "+faststart"]], ids=["index at the end", "index at the beginning"])
def test_ffmpeg_reads_a_recording_whole_from_file_and_pipe_or_not_at_all(flags, tmp_path):
    wav, m4a = tmp_path / "talk.wav", tmp_path / "talk.m4a"
    soundfile.write(wav, 0.1 * np.random.default_rng(0).standard_normal(16000 * 20), 16000)
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-b:a", "128k", *flags, m4a], check=True)
    waveform = read(m4a)
    assert 16000 * 20 <= len(waveform) < 16000 * 20.2  # AAC fills up its last frame
    np.testing.assert_array_equal(decode(m4a.read_bytes(), "standard input"), waveform)
    m4a.write_bytes(m4a.read_bytes()[: m4a.stat().st_size // 2])
    with pytest.raises(ValueError, match="damaged or cut short" if flags else "neither libsndfile nor ffmpeg can read it"):
        read(m4a)
