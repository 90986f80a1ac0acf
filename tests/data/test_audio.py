"""Any file becomes 16 kHz mono; any segment is the samples it names; what cannot be read is said in a line."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechllm_plugin.data import audio, features

FORMATS = [("wav", "PCM_16"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("ogg", "OPUS"), ("mp3", "MPEG_LAYER_III")]
RATES = [8000, 16000, 22050, 44100, 48000]


def tone(rate, seconds=1.0, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def loudest_hertz(waveform):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return spectrum.argmax() * audio.SAMPLE_RATE / len(waveform)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("extension, subtype", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_rate_and_channel_count_gives_16_khz_mono(tmp_path, extension, subtype, rate, channels):
    if subtype == "OPUS" and rate in (22050, 44100):
        pytest.skip("Opus has no such rate")
    soundfile.write(tmp_path / f"a.{extension}", np.stack([tone(rate)] * channels, axis=1), rate, subtype=subtype)
    waveform = audio.read(f"a.{extension}", tmp_path)
    assert waveform.dtype == np.float32 and waveform.ndim == 1
    assert abs(len(waveform) - audio.SAMPLE_RATE) <= 0.1 * audio.SAMPLE_RATE  # mp3 pads
    assert abs(loudest_hertz(waveform) - 440) < 2
    assert 0.3 < np.sqrt(np.mean(waveform**2)) < 0.4  # 0.5 / sqrt(2), less the padding of the coders


def test_channels_are_averaged(tmp_path):
    left, right = tone(16000, hertz=300), tone(16000, hertz=2000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 16000, subtype="FLOAT")
    np.testing.assert_allclose(audio.read("a.wav", tmp_path), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg"])
def test_a_segment_counts_samples_of_the_file(tmp_path, extension):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 30000).astype(np.float32)
    soundfile.write(tmp_path / f"talk.{extension}", noise, 16000)
    whole = audio.read(f"talk.{extension}", tmp_path)
    for start, num_samples in [(0, 30000), (12345, 1), (29000, 1000), (7, 16000)]:
        np.testing.assert_array_equal(audio.read(f"talk.{extension}:{start}:{num_samples}", tmp_path), whole[start : start + num_samples])


def test_a_segment_of_another_rate_is_cut_before_resampling(tmp_path):
    soundfile.write(tmp_path / "talk.wav", np.concatenate([tone(48000, hertz=300), tone(48000, hertz=1000)]), 48000)
    waveform = audio.read("talk.wav:48000:24000", tmp_path)
    assert len(waveform) == 8000 and abs(loudest_hertz(waveform) - 1000) < 3


def test_absolute_paths_and_colons_in_names_are_paths(tmp_path):
    soundfile.write(tmp_path / "a:b.wav", tone(16000), 16000)
    assert len(audio.read(str(tmp_path / "a:b.wav"), "elsewhere")) == 16000
    assert len(audio.read("a:b.wav:10:100", tmp_path)) == 100


def broken_files(folder):
    nan = tone(16000)
    nan[77] = np.nan
    soundfile.write(folder / "nan.wav", nan, 16000, subtype="FLOAT")
    for name, scale in (("loud", 1e18), ("louder", 1e38), ("not_too_loud", 1e8)):
        soundfile.write(folder / f"{name}.wav", (tone(16000) * scale).astype(np.float32), 16000, subtype="FLOAT")
    soundfile.write(folder / "empty.wav", tone(16000)[:0], 16000)
    soundfile.write(folder / "good.wav", tone(16000), 16000)
    (folder / "text.wav").write_text("this is no audio")
    (folder / "nothing.wav").write_bytes(b"")
    soundfile.write(folder / "cut.flac", np.random.default_rng(0).uniform(-1, 1, 48000), 16000)
    (folder / "cut.flac").write_bytes((folder / "cut.flac").read_bytes()[:40000])
    soundfile.write(folder / "cut.mp3", tone(48000), 48000, format="MP3")
    (folder / "cut.mp3").write_bytes((folder / "cut.mp3").read_bytes()[:4000])


@pytest.mark.parametrize(
    "source, message",
    [
        ("missing.wav", "missing.wav: no such audio file; correct"),
        ("missing.wav:0:10", "missing.wav: no such audio file; correct"),
        ("text.wav", "text.wav: not readable as audio"),
        ("nothing.wav", "nothing.wav: the file is empty (0 bytes)"),
        ("cut.flac", "cut.flac: not readable as audio"),
        ("cut.mp3", "cut.mp3: the file is cut short: it has 31 of 43 MPEG frames"),
        ("empty.wav", "empty.wav: the waveform is empty"),
        ("good.wav:16000:0", "good.wav:16000:0: the waveform is empty"),
        ("nan.wav", "nan.wav: the waveform has NaN or infinite samples"),
        ("loud.wav", "loud.wav: samples reach 5e+17, of which no filterbanks can be computed; scale the sound to between -1 and 1"),
        ("louder.wav", "louder.wav: samples reach 5e+37"),
        (f"good.wav:{'9' * 18}:1", "good.wav:999999999999999999:1: the utterance ends at sample 1000000000000000000"),
        (f"good.wav:{'9' * 5000}:1", ":1: no such audio file"),
        ("good.wav:²:1", "good.wav:²:1: no such audio file"),
        ("good.wav:-1:1", "good.wav:-1:1: no such audio file"),
        ("good.wav:15000:1001", "good.wav:15000:1001: the utterance ends at sample 16001, but the file has 16000 samples (16000 Hz)"),
    ],
)
def test_errors_name_file_and_remedy(tmp_path, source, message):
    broken_files(tmp_path)
    with pytest.raises(ValueError) as error:
        audio.read(source, tmp_path)
    assert message in str(error.value) and "; " in str(error.value) and "\n" not in str(error.value)


def test_the_loudest_sound_that_is_read_has_finite_filterbanks(tmp_path):
    broken_files(tmp_path)
    assert np.isfinite(features.read("not_too_loud.wav", tmp_path)).all()


def test_recorded_clips_of_every_format_are_read():
    folder = os.environ.get("SPEECHLLM_REAL_DATA")
    if not folder:
        pytest.skip("SPEECHLLM_REAL_DATA is not set: no recorded speech to read")
    clips = sorted(Path(folder, "clips").iterdir())
    assert clips
    for clip in clips:
        waveform = audio.read(clip.name, clip.parent)
        seconds = soundfile.info(clip).duration
        assert abs(len(waveform) / audio.SAMPLE_RATE - seconds) < 0.05, clip
        assert 0.05 < np.abs(waveform).max() <= 1.1
        assert features.filterbanks(waveform).shape == (features.num_frames(len(waveform)), features.NUM_BINS)
