"""--speed-perturbation: training at several speeds, dev and test as they are."""

import re
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from mustc_corpus import run, small_corpus

from speechllm_plugin.commands import prepare
from speechllm_plugin.data import audio, features
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.preparation import corpus_check, speed_perturbation
from speechllm_plugin.preparation.corpus_row import CorpusRow


def test_a_tone_changes_length_and_pitch_by_the_speed():
    seconds, hertz = 1.0, 1000
    tone = np.sin(2 * np.pi * hertz * np.arange(audio.SAMPLE_RATE * seconds) / audio.SAMPLE_RATE).astype(np.float32)
    for speed in (0.9, 1.0, 1.1):
        played = speed_perturbation.played(tone, speed)
        assert abs(len(played) - len(tone) / speed) <= 1
        spectrum = np.abs(np.fft.rfft(played))
        assert abs(spectrum.argmax() * audio.SAMPLE_RATE / len(played) - speed * hertz) < 2


def test_training_has_every_row_at_every_speed(tmp_path):
    corpus = small_corpus(tmp_path / "corpus")
    plain = run(corpus, tmp_path / "plain")
    perturbed = run(corpus, tmp_path / "perturbed", "--speed-perturbation", "1.1", "0.9", "1")
    assert perturbed["dev"] == plain["dev"] and perturbed["tst-COMMON"] == plain["tst-COMMON"]
    by_speed = {speed: {row.id: row for row in perturbed["train"] if row.extra["speed"] == speed} for speed in ("0.9", "1", "1.1")}
    assert len(perturbed["train"]) == sum(map(len, by_speed.values()))
    for row in plain["train"]:
        same = by_speed["1"][row.id]
        np.testing.assert_array_equal(features.read(same.audio, tmp_path / "perturbed"), features.read(row.audio, tmp_path / "plain"))
        for speed in ("0.9", "1.1"):
            other = by_speed[speed].get(f"{row.id}_speed{speed}")
            if other is None:  # too short or too long at this speed
                continue
            assert (other.tgt_text, other.src_text, other.speaker) == (row.tgt_text, row.src_text, row.speaker)
            assert abs(other.n_frames - row.n_frames / float(speed)) <= 2
            assert features.read(other.audio, tmp_path / "perturbed").shape == (other.n_frames, 80)


def test_options_that_contradict_it_are_errors(tmp_path, capsys):
    corpus = small_corpus(tmp_path / "corpus")
    with pytest.raises(ValueError, match="--speed-perturbation needs --features stored"):
        run(corpus, tmp_path / "out", "--speed-perturbation", "0.9", "--features", "online")
    with pytest.raises(SystemExit):
        run(corpus, tmp_path / "out", "--speed-perturbation", "9")
    assert "must be between 0.5 and 2.0 times the speed of the recording, but is 9" in capsys.readouterr().err
    run(corpus, tmp_path / "out", "--speed-perturbation", "0.9", "1")
    run(corpus, tmp_path / "out", "--speed-perturbation", "1", "0.9", "0.90000001")  # the same
    with pytest.raises(ValueError, match="--speed-perturbation is None"):
        run(corpus, tmp_path / "out")


def test_a_check_counts_the_hours_at_the_speeds_of_training(mustc_utterance, capsys):
    row = CorpusRow(replace(mustc_utterance, extra={}), "train.tsv:2", duration_seconds=7200)
    prepare.print_check("corpus", {"train": {"train": speed_perturbation.apply({"train": [row]}, [0.5, 1])["train"]}}, {"train": []})
    assert re.search(r"^train +2 +6.00 +0$", capsys.readouterr().out, re.MULTILINE)


def test_what_is_trained_on_at_a_speed_needs_a_text(tmp_path, mustc_utterance):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 16000)
    row = CorpusRow(replace(mustc_utterance, extra={}, tgt_lang="en"), "train.tsv:2")
    too_long = CorpusRow(replace(row.utterance, id="long", tgt_text=""), "train.tsv:3", duration_seconds=31)
    corpus_check.check("asr", tmp_path, {"train": {"train": [row, too_long]}}, [], True)
    with pytest.raises(ValueError, match=r"train.tsv:3 \(long\): tgt_text is empty"):
        corpus_check.check("asr", tmp_path, {"train": {"train": [row, replace(too_long, speed=1.1)]}}, [], True)


def test_a_column_of_the_corpus_is_not_replaced(mustc_utterance):
    row = CorpusRow(mustc_utterance, "train.tsv:2")
    with pytest.raises(ValueError, match="train.tsv:2: --speed-perturbation writes the column speed"):
        speed_perturbation.apply({"train": [row]}, [0.9])


@pytest.fixture
def mustc_utterance():
    return Utterance(id="a", audio="a.wav", n_frames=0, tgt_text="b", extra={"speed": "fast"})
