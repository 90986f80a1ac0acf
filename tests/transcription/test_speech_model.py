"""The shipped models of spoken digits on the shipped recordings, from Python."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import editdistance
import numpy as np
import pytest
import soundfile
import soxr
import torch

import speechllm_plugin
from speechllm_plugin.transcription.loaded_sound import LoadedSound
from speechllm_plugin.transcription.window_search import TranscriptionOptions

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples/digits"
RECORDINGS = sorted((DIGITS / "recordings").glob("*.flac"))
TEXTS = dict(line.split("\t") for line in (DIGITS / "recordings/texts.tsv").read_text().splitlines())
REFERENCES = [TEXTS[path.name] for path in RECORDINGS]


@pytest.fixture(scope="module", params=["dfp", "xattn"])
def model(request):
    return speechllm_plugin.load(DIGITS / request.param, device="cpu")


@pytest.fixture(scope="module")
def xattn():
    return speechllm_plugin.load(DIGITS / "xattn", device="cpu")


def spoken(text):
    return re.findall(r"\w+", text.lower())


def test_recordings_become_their_texts(model):
    assert [each.text for each in model.transcribe(RECORDINGS)] == REFERENCES


def test_batches_and_kinds_of_input_change_nothing(xattn):
    together = xattn.transcribe(RECORDINGS, n_best=3)
    for path, expected in zip(RECORDINGS, together):
        samples, rate = soundfile.read(path, dtype="float32")
        whole = np.round(samples * 32768).astype(np.int16)
        for each in xattn.transcribe([str(path), samples, np.stack([samples, samples], 1), whole], sample_rate=rate, n_best=3):
            assert [one.text for one in each.n_best] == [one.text for one in expected.n_best] and len(each.n_best) == 3
            assert each.score == pytest.approx(expected.score, abs=1e-4)


@pytest.mark.parametrize("sample_rate", [8000, 48000])
def test_resampled_sound_is_heard_as_that_of_the_training(model, sample_rate):
    waveforms = [soxr.resample(soundfile.read(path, dtype="float32")[0], 16000, sample_rate) for path in RECORDINGS]
    assert [each.text for each in model.transcribe(waveforms, sample_rate=sample_rate)] == REFERENCES


def test_the_search_is_that_of_fairseq_generate(xattn):
    task, sound = xattn.task, LoadedSound([xattn.read(path) for path in RECORDINGS[:2]], xattn.device)
    samples = xattn.features(sound, [[(0, len(waveform))] for waveform in sound.waveforms])
    search = xattn.search(TranscriptionOptions())
    for each in samples:
        batch = {"net_input": {"src_tokens": each[None], "src_lengths": torch.tensor([len(each)])}}
        [[best, *_]] = task.inference_step(search.search, [xattn.model], batch)
        [found] = search([each])
        assert found.n_best[0].score == pytest.approx(best["score"].item(), abs=1e-5)


def test_windows_in_which_ctc_hears_nobody_have_no_text_and_change_no_other(xattn):
    search, sound = xattn.search(TranscriptionOptions(n_best=3)), LoadedSound([xattn.read(path) for path in RECORDINGS[:3]], xattn.device)
    features = xattn.features(sound, [[(0, len(waveform))] for waveform in sound.waveforms])
    first, _, last = search.of_batch(features)
    search.spoken = lambda speech: [0, 2]
    found = search.of_batch(features)
    assert found[1] is None and [found[0].n_best[0].text, found[2].n_best[0].text] == [first.n_best[0].text, last.n_best[0].text]
    for one, other in zip((*found[0].n_best, *found[2].n_best), (*first.n_best, *last.n_best), strict=True):
        assert one.text == other.text and one.score == pytest.approx(other.score, abs=1e-4)
    search.spoken = lambda speech: []
    assert search.of_batch(features) == [None] * 3


@pytest.mark.parametrize("pause", [0.4, 1.5])
def test_a_long_recording_has_each_text_once_and_in_order(model, pause):
    parts = [part for path in RECORDINGS for part in (np.zeros(int(pause * 16000), np.float32), soundfile.read(path, dtype="float32")[0])]
    [found] = model.transcribe([np.concatenate(parts)])
    expected = spoken(" ".join(REFERENCES))
    # One word may be heard wrongly, as the edges of windows are not those of the recordings.
    assert editdistance.eval(spoken(found.text), expected) <= 1 and len(spoken(found.text)) == len(expected)
    ends = [0, *(segment.end for segment in found.segments)]
    assert all(segment.start >= end for segment, end in zip(found.segments, ends)) and ends[-1] <= found.seconds


def test_silence_and_noise_have_no_text(model):
    rng = np.random.default_rng(0)
    noise = [0.0, 1e-4, 1e-2, 0.1]
    clips = [(level * rng.standard_normal(int(seconds * 16000))).astype(np.float32) for level in noise for seconds in (0.01, 0.5, 3, 12)]
    hum = (0.1 * np.sin(np.arange(48000) * 2 * np.pi * 50 / 16000)).astype(np.float32)
    assert [each.text for each in model.transcribe([*clips, hum])] == [""] * (len(clips) + 1)


def test_words_have_times_in_order(model):
    for found in model.transcribe(RECORDINGS, word_timestamps=True):
        assert " ".join(word.text for word in found.words) == found.text
        times = [time for word in found.words for time in (word.start, word.end)]
        assert times == sorted(times) and times[-1] <= found.seconds and all(word.end > word.start for word in found.words)


def test_joint_decoding_serves_recognition(xattn):
    assert [each.text for each in xattn.transcribe(RECORDINGS, ctc_decoding_weight=0.3)] == REFERENCES


def test_hot_words_change_the_text_and_its_score(xattn):
    plain, none, favoured = (
        xattn.transcribe(RECORDINGS[:2], **options) for options in ({}, {"hot_words": []}, {"hot_words": ["nine"], "hot_word_bonus": 9})
    )
    assert [each.score for each in none] == [each.score for each in plain]
    assert all("nine" in spoken(each.text) and each.score > other.score for each, other in zip(favoured, plain))


def test_threads_share_a_model(xattn):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda path: xattn.transcribe([path])[0].text, RECORDINGS * 2))
    assert found == REFERENCES * 2


@pytest.mark.parametrize(
    "recordings, options, message",
    [
        (["none.wav"], {}, "none.wav: no such recording"),
        (RECORDINGS[0], {}, "takes a list of recordings"),
        ([np.zeros((2, 2, 2))], {}, r"recording 0: must be finite samples .* but is float64 \(2, 2, 2\)"),
        ([np.full(9, np.nan)], {}, "must be finite samples"),
        (RECORDINGS, {"language": "fr"}, "--language fr: .*xattn writes en"),
        (RECORDINGS, {"beam": 0}, "--beam must be positive, but is 0"),
        (RECORDINGS, {"beam": 48}, "--beam must be below the 48 types of the target vocabulary, but is 48"),
        (RECORDINGS, {"n_best": 6}, r"--n-best must be between 1 and --beam \(5\), but is 6"),
        (RECORDINGS, {"ctc_decoding_weight": 1.0}, "--ctc-decoding-weight must be at least 0 and below 1"),
    ],
)
def test_what_cannot_be_done_is_an_error(xattn, recordings, options, message):
    with pytest.raises(ValueError, match=message) as error:
        xattn.transcribe(recordings, **options)
    assert "\n" not in str(error.value)


def test_the_lines_of_the_readme(monkeypatch, capsys):
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" -")[0] for line in lines if "[" in line] == [TEXTS["theo.flac"], TEXTS["george.flac"]]
    assert sum(" s to " in line for line in lines) == len(spoken(TEXTS["theo.flac"] + TEXTS["george.flac"]))


def test_loading_leaves_the_log_alone():
    code = """if True:
        import logging, speechllm_plugin
        logging.getLogger().addHandler(logging.NullHandler())
        model = speechllm_plugin.load("examples/digits/xattn", device="cpu")
        assert logging.getLogger().level == logging.WARNING and len(logging.getLogger().handlers) == 1 and logging.root.manager.disable == 0"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stderr=subprocess.PIPE).stderr == b""


def test_importing_the_package_stays_light():
    code = "import speechllm_plugin, sys; assert callable(speechllm_plugin.load) and not {'torch', 'fairseq', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
