"""Filterbanks are Kaldi's, archives are fairseq's, and SpecAugment masks what it says."""

import multiprocessing
import zipfile

import numpy as np
import pytest
import soundfile

from speechllm_plugin.data import features
from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.preparation.feature_archive import FeatureArchive

LENGTHS = [1, 399, 400, 559, 560, 561, 16000, 16123]


def noise(num_samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.3, 0.3, num_samples).astype(np.float32)


def random_features(*lengths):
    return [np.random.default_rng(length).standard_normal((length, 80)).astype(np.float32) * 3 + 10 for length in lengths]


def kaldi_filterbanks(waveform):
    """Kaldi's computation step by step, in float64 (feature-window.cc, mel-computations.cc, feature-fbank.cc)."""
    window = np.hanning(400) ** 0.85  # povey

    def mel(hertz):
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    edges = np.linspace(mel(20.0), mel(8000.0), 82)
    bins = mel(np.arange(256) * 16000 / 512)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0, np.minimum(rise, fall))  # (80, 256)
    rows = []
    for start in range(0, len(waveform) - 399, 160):
        frame = waveform[start : start + 400].astype(np.float64) * 32768
        frame -= frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * window, 512)) ** 2
        rows.append(np.log(np.maximum(filters @ power[:256], np.finfo(np.float32).eps)))
    return np.array(rows)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_filterbanks_equal_kaldis(scale):
    waveform = (noise(16123) + 0.3 * np.sin(np.arange(16123) * 0.1)).astype(np.float32) * np.float32(scale)
    ours = features.filterbanks(waveform)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, kaldi_filterbanks(waveform), atol=5e-3)


@pytest.mark.parametrize("num_samples", LENGTHS)
def test_num_frames_is_the_number_of_filterbanks(num_samples):
    assert features.filterbanks(noise(num_samples)).shape == (features.num_frames(num_samples), 80)


def test_silence_has_finite_filterbanks():
    assert np.isfinite(features.filterbanks(np.zeros(800, dtype=np.float32))).all()


@pytest.mark.parametrize("largest", [1e10, 1e18, 1e36, np.inf, np.nan])
def test_filterbanks_that_would_not_be_finite_are_an_error(largest):
    waveform = noise(16000)
    waveform[77] = largest
    with pytest.raises(ValueError, match="NaN or infinite samples; |samples reach .*; scale"):
        features.filterbanks(waveform)


def test_sound_is_rounded_to_the_bits_of_the_configuration(tmp_path):
    waveform = noise(16123) * np.float32(1e-3)
    soundfile.write(tmp_path / "float.wav", waveform, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "whole.wav", np.rint(waveform * 32768).astype(np.int16), 16000)
    whole = features.read("whole.wav", tmp_path)
    np.testing.assert_array_equal(features.read("whole.wav", tmp_path, 16), whole)
    np.testing.assert_array_equal(features.read("float.wav", tmp_path, 16), whole)
    assert np.abs(features.read("float.wav", tmp_path) - whole).max() > 0.01


def test_cmvn_equals_fairseqs():
    from fairseq.data.audio.feature_transforms.utterance_cmvn import UtteranceCMVN

    for rows in random_features(2, 27, 400):
        np.testing.assert_allclose(features.utterance_cmvn(rows), UtteranceCMVN()(rows.astype(np.float64)), atol=1e-4)


def test_cmvn_of_constant_dimensions_stays_small():
    rows = np.full((100, 80), 3.3, dtype=np.float32)
    rows[:, 1] = np.arange(100)
    normalised = features.utterance_cmvn(rows)
    assert np.abs(normalised[:, 0]).max() < 0.1 and abs(normalised[:, 1].std() - 1) < 1e-3
    np.testing.assert_array_equal(features.utterance_cmvn(rows[:1]), np.zeros((1, 80)))


def stored(folder, rows_of):
    with FeatureArchive(folder / "fbank.zip") as archive:
        return [archive.add(f"utterance ñ {index}", rows) for index, rows in enumerate(rows_of)]


def test_archived_features_are_read_by_us_and_by_fairseq(tmp_path):
    from fairseq.data.audio.audio_utils import get_features_or_waveform

    rows_of = random_features(1, 27, 13, 3000)
    for source, rows in zip(stored(tmp_path, rows_of), rows_of):
        np.testing.assert_array_equal(features.read(source, tmp_path), rows)
        np.testing.assert_array_equal(features.read(f"{tmp_path}/{source}", ""), rows)
        np.testing.assert_array_equal(get_features_or_waveform(f"{tmp_path}/{source}"), rows)
    with zipfile.ZipFile(tmp_path / "fbank.zip") as archive:
        assert archive.testzip() is None
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())


def test_the_same_features_make_the_same_archive(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        stored(tmp_path / name, random_features(27, 13))
    assert (tmp_path / "a/fbank.zip").read_bytes() == (tmp_path / "b/fbank.zip").read_bytes()


def test_a_failed_archive_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), FeatureArchive(tmp_path / "fbank.zip") as archive:
        archive.add("a", random_features(5)[0])
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def _checksum(connection, source, root):
    connection.send(float(features.read(source, root).sum()))


def test_a_forked_process_reads_an_archive_that_its_parent_opened(tmp_path):
    (source,) = stored(tmp_path, random_features(27))
    expected = float(features.read(source, tmp_path).sum())
    receiver, sender = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_checksum, args=(sender, source, tmp_path))
    child.start()
    assert receiver.poll(20) and receiver.recv() == expected
    child.join()


def test_every_kind_of_audio_value_gives_the_same_features(tmp_path):
    waveform = noise(16000)
    soundfile.write(tmp_path / "a.wav", np.concatenate([noise(500, seed=1), waveform]), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", waveform, 16000, subtype="FLOAT")
    expected = features.filterbanks(waveform)
    np.save(tmp_path / "a.npy", expected)
    np.save(tmp_path / "columns.npy", np.asfortranarray(expected.astype(np.float64)))
    with zipfile.ZipFile(tmp_path / "audio.zip", "w") as archive:
        archive.write(tmp_path / "b.wav", "b.wav")
    in_zip = f"audio.zip:{30 + len('b.wav')}:{(tmp_path / 'b.wav').stat().st_size}"
    for source in ("a.wav:500:16000", "b.wav", "a.npy", "columns.npy", in_zip):
        read = features.read(source, tmp_path)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, expected, err_msg=source)


@pytest.mark.parametrize(
    "source, message",
    [
        ("empty.zip:10:20", "empty.zip: the archive is empty"),
        ("none.zip:10:20", "none.zip: no such audio file"),
        ("fbank.zip:10", "fbank.zip:10: audio in an archive must be archive.zip:byte_offset:num_bytes"),
        ("fbank.zip:a:b", "must be archive.zip:byte_offset:num_bytes"),
        ("fbank.zip:²:3", "must be archive.zip:byte_offset:num_bytes"),
        (f"fbank.zip:{'9' * 5000}:3", "must be archive.zip:byte_offset:num_bytes"),
        ("fbank.zip:10:999999", "fbank.zip:10:999999: the features end at byte 1000009, but the archive has"),
        ("fbank.zip:3:200", "fbank.zip:3:200: not readable as audio"),
        ("flat.npy", "flat.npy: must hold (frames, bins), but holds shape (7,)"),
        ("none.npy", "none.npy: no such audio file"),
        ("text.npy", "text.npy: not a numpy array"),
    ],
)
def test_errors_name_the_value_and_the_remedy(tmp_path, source, message):
    stored(tmp_path, random_features(27, 13))
    (tmp_path / "empty.zip").touch()
    np.save(tmp_path / "flat.npy", np.zeros(7))
    (tmp_path / "text.npy").write_text("text")
    with pytest.raises(ValueError) as error:
        features.read(source, tmp_path)
    assert message in str(error.value) and "; " in str(error.value)


def test_an_archive_whose_offsets_belong_to_another_is_an_error(tmp_path):
    first, _ = stored(tmp_path, random_features(27, 13))
    archive, offset, size = first.split(":")
    with pytest.raises(ValueError, match="prepare the data again"):
        features.read(f"{archive}:{offset}:{int(size) + 320}", tmp_path)


POLICY = {"freq_mask_N": 2, "freq_mask_F": 27, "time_mask_N": 2, "time_mask_T": 100, "time_mask_p": 1.0}


def masked_parts(rows, masked):
    """Masked frames and masked bins; every other value must be as it was."""
    changed = rows != masked
    frames, bins = changed.all(axis=1), changed.all(axis=0)
    assert (changed == (frames[:, None] | bins)).all()
    return frames, bins


def test_specaugment_masks_frames_and_bins_with_the_mean_on_a_copy():
    (rows,) = random_features(400)
    original, augment = rows.copy(), SpecAugment(**POLICY)
    num_frames, num_bins = [], []
    for seed in range(50):
        masked = augment(rows, np.random.default_rng(seed))
        frames, bins = masked_parts(rows, masked)
        assert np.unique(masked[rows != masked]).size <= 1
        np.testing.assert_allclose(masked[rows != masked], rows.mean(), rtol=1e-6)
        num_frames.append(frames.sum())
        num_bins.append(bins.sum())
    np.testing.assert_array_equal(rows, original)
    assert 50 < np.mean(num_frames) < 110 and max(num_frames) <= 2 * 99
    assert 15 < np.mean(num_bins) < 30 and max(num_bins) <= 2 * 26


def test_specaugment_depends_on_the_generator_only():
    (rows,) = random_features(120)
    draws = [SpecAugment(**POLICY)(rows, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


@pytest.mark.parametrize("part, limit", [(0.0, 0), (0.2, 2 * 8)])
def test_time_mask_p_bounds_the_masked_time(part, limit):
    (rows,) = random_features(40)
    augment = SpecAugment(**(POLICY | {"time_mask_p": part, "freq_mask_N": 0}))
    most = max(masked_parts(rows, augment(rows, np.random.default_rng(seed)))[0].sum() for seed in range(50))
    assert most <= limit and (most > 0) == (limit > 0)


@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_short_utterances_are_masked_too(num_frames):
    (rows,) = random_features(num_frames)
    for seed in range(20):
        assert SpecAugment(**POLICY)(rows, np.random.default_rng(seed)).shape == rows.shape


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"time_warp_W": 5}, "time_warp_W must be 0"),
        ({"freq_mask_N": 1}, "freq_mask_F must be positive"),
        ({"time_mask_N": 1}, "time_mask_T must be positive"),
        ({"freq_mask_N": -1}, "freq_mask_N must not be negative, but is -1"),
    ],
)
def test_settings_that_cannot_be_are_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        SpecAugment(**settings)
