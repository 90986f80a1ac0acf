"""A test set without speech: what it sounds like, that it is made once, and that models decode it with any features and any tags."""

import argparse
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from commands import SEARCH, TASK, fairseq, hypotheses, speechllm, succeeded, train
from mustc_corpus import run as run_prepare
from mustc_corpus import small_corpus

from speechllm_plugin.commands import silence
from speechllm_plugin.data import audio, features, manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.recording import recording_of
from speechllm_plugin.preparation import silent_split


def make(folder, *options):
    parser = argparse.ArgumentParser()
    silence.add_arguments(parser)
    silence.run(parser.parse_args(["--data", str(folder), *map(str, options)]))
    return manifest.read(folder / "silence.tsv")


def files_of(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in [folder / "silence.tsv", *(folder / "silence").iterdir()]}


def data_folder_of(path, pairs=(("en", "de"),), **settings):
    """A folder with a manifest and a configuration, which is all that the command looks at."""
    path.mkdir(parents=True)
    rows = [manifest.Utterance(f"u{number}", "a.zip:0:9", 5, "text", "", "", *pair) for number, pair in enumerate(pairs)]
    manifest.write(path / "train.tsv", rows)
    (path / "config.yaml").write_text(yaml.safe_dump({"relative_audio_root": ".", **settings}))
    return path


def test_lengths_and_levels_are_as_documented(tmp_path):
    folder = data_folder_of(tmp_path / "data")
    rows = make(folder, "--num", 7, "--seconds", 0.5, 3.5)
    assert [row.extra["kind"] for row in rows] == ["silence", "quiet noise", "noise"] * 2 + ["silence"]
    for number, row in enumerate(rows):
        waveform = audio.read(row.audio, folder)
        assert len(waveform) == 8000 + number * 8000 and row.n_frames == features.num_frames(len(waveform))
        level = 20 * np.log10(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))) + 1e-20)
        assert level == pytest.approx({"silence": -400, "quiet noise": -60, "noise": -30}[row.extra["kind"]], abs=0.1)
        assert (row.tgt_text, row.src_text, row.src_lang, row.tgt_lang) == ("", "", "en", "de")
        assert recording_of(row, DataConfig.load(folder / "config.yaml")) == (row.audio, folder)


def test_features_are_finite_after_normalisation_and_only_the_swelling_noise_changes_over_time(tmp_path):
    folder = data_folder_of(tmp_path / "data")
    spread = {}
    for row in make(folder, "--num", 9, "--seconds", 2, 4):
        normalised = features.utterance_cmvn(features.read(row.audio, folder))
        assert np.isfinite(normalised).all() and np.abs(normalised).max() < 10
        spread.setdefault(row.extra["kind"], []).append(normalised.mean(axis=1).std())  # of the loudness
    assert max(spread["silence"]) < 1e-3 < max(spread["quiet noise"]) < 0.3 < 0.6 < min(spread["noise"])


def test_the_same_command_makes_the_same_samples_and_makes_them_once(tmp_path, capsys):
    folders = [data_folder_of(tmp_path / name) for name in "ab"]
    for folder in folders:
        make(folder, "--num", 5)
    before = files_of(folders[0])
    assert {name: content for name, (content, _) in before.items()} == {name: content for name, (content, _) in files_of(folders[1]).items()}
    make(folders[0], "--num", 5)
    assert files_of(folders[0]) == before and "already there, 5 utterances" in capsys.readouterr().out
    lost = next((folders[0] / "silence").glob("*quiet_noise*"))
    lost.unlink()
    make(folders[0], "--num", 5)
    assert {name: content for name, (content, _) in files_of(folders[0]).items()} == {name: content for name, (content, _) in before.items()}
    make(data_folder_of(tmp_path / "c"), "--num", 5, "--seed", 2)
    noises = [sorted((tmp_path / name / "silence").glob("*_noise_*"))[0].read_bytes() for name in "ac"]
    assert noises[0] != noises[1] and len(noises[0]) == len(noises[1])


@pytest.mark.parametrize("options", [["--num", 6], ["--seconds", 1, 9], ["--seed", 2]])
def test_another_set_is_never_replaced(tmp_path, options):
    folder = data_folder_of(tmp_path / "data")
    make(folder, "--num", 5)
    before = files_of(folder)
    with pytest.raises(ValueError, match="silence.tsv: was made with other options or for other languages, or by somebody else; delete it"):
        make(folder, *["--num", 5, *options])
    assert files_of(folder) == before


def test_a_set_of_somebody_else_is_never_replaced(tmp_path):
    folder = data_folder_of(tmp_path / "data")
    shutil.copy(folder / "train.tsv", folder / "silence.tsv")
    before = (folder / "silence.tsv").read_bytes()
    with pytest.raises(ValueError, match="silence.tsv: was made .* by somebody else"):
        make(folder)
    assert (folder / "silence.tsv").read_bytes() == before and not (folder / "silence").exists()


def test_every_pair_of_languages_gets_every_kind(tmp_path):
    pairs = [("en", "fr"), ("en", "de"), ("de", "en")]
    rows = make(data_folder_of(tmp_path / "data", pairs), "--num", 9)
    assert sorted({(row.src_lang, row.tgt_lang, row.extra["kind"]) for row in rows}) == sorted(
        {(*pair, kind) for pair in pairs for kind in silent_split.SOUNDS}
    )
    joint = make(data_folder_of(tmp_path / "joint", [("en", "de")], transcribe_probability=0.5, prepend_tgt_lang_tag=True), "--num", 6)
    assert {(row.src_lang, row.tgt_lang) for row in joint} == {("en", "de"), ("en", "en")}


def test_sounds_lie_in_the_data_folder_whatever_the_audio_root(tmp_path, monkeypatch):
    """As for features computed online, whose root is the corpus, which may be read-only; and for distilled folders, which copy manifests."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    data_folder_of(tmp_path / "somewhere/data", relative_audio_root="../../corpus")
    monkeypatch.chdir(tmp_path / "somewhere")
    rows = make(tmp_path / "somewhere/data", "--num", 3)
    assert make(Path("data"), "--num", 3) == rows and not list(corpus.iterdir())
    monkeypatch.chdir(tmp_path)
    for row in rows:
        assert len(features.read(row.audio, corpus)) == row.n_frames and row.audio.startswith(str(tmp_path / "somewhere/data/silence/"))
    distilled = data_folder_of(tmp_path / "distilled", relative_audio_root="../corpus")
    shutil.copy(tmp_path / "somewhere/data/silence.tsv", distilled / "silence.tsv")
    assert make(distilled, "--num", 3) == rows and not (distilled / "silence").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--num", 0], "--num must be at least 1, but is 0"),
        (["--seconds", 2, 1], "--seconds must be two numbers, the second not less than the first"),
        (["--seconds", 0.01, 1], "both at least 0.025 .one window. and at most 3600, but is 0.01 1"),
        (["--seconds", 0, 1], "--seconds must be two numbers, .*, but is 0 1"),
        (["--seconds", 1, 1e308], "--seconds must be two numbers, .*, but is 1 1e.308"),
        (["--seconds", 1, "nan"], "--seconds must be two numbers"),
        (["--seed", -1], "--seed must not be negative, but is -1"),
    ],
)
def test_values_that_make_no_sense_are_an_error(tmp_path, options, message):
    folder = data_folder_of(tmp_path / "data")
    with pytest.raises(ValueError, match=message):
        make(folder, *options)
    assert not (folder / "silence.tsv").exists()


def test_a_prepared_folder_stays_prepared(tmp_path, capsys):
    corpus = small_corpus(tmp_path / "mustc")
    run_prepare(corpus, tmp_path / "out")
    rows = make(tmp_path / "out", "--num", 3)
    capsys.readouterr()
    assert run_prepare(corpus, tmp_path / "out")["silence"] == rows and "train: already prepared" in capsys.readouterr().out


@pytest.mark.end_to_end
@pytest.mark.parametrize("kind", ["stored", "online"])
def test_models_decode_it_as_any_test_set(spoken, data, trained, tmp_path, kind):
    folder = tmp_path / "data"
    if kind == "stored":
        shutil.copytree(data, folder)
    else:
        shutil.copytree(data, folder, ignore=shutil.ignore_patterns("*.zip"))
        text = (folder / "config.yaml").read_text()
        (folder / "config.yaml").write_text(
            re.sub("relative_audio_root: .*\n", "", re.sub("audio_root: .*", f"audio_root: {spoken.root}", text, count=1))
        )
    succeeded(speechllm("silence", "--data", folder, "--num", 5, "--seconds", 0.4, 2, cwd=tmp_path))
    process = succeeded(fairseq("generate", folder, *TASK, "--path", trained.checkpoint, "--gen-subset", "silence", *SEARCH, cwd=tmp_path))
    assert sorted(hypotheses(process.stdout)) == list(range(5))
    assert sorted(re.findall(r"^T-(\d+)\t$", process.stdout, re.MULTILINE)) == list("01234")


@pytest.mark.end_to_end
def test_tags_are_forced(tmp_path):
    corpus = small_corpus(tmp_path / "mustc")
    run_prepare(corpus, tmp_path / "out", task="joint", sizes=("42", "26"))
    succeeded(train(tmp_path / "out", tmp_path / "model", "--max-tokens", 6000, updates=1))
    succeeded(speechllm("silence", "--data", tmp_path / "out", "--num", 6, "--seconds", 0.4, 1, cwd=tmp_path))
    search = ["--path", tmp_path / "model/checkpoint_last.pt", "--gen-subset", "silence", *SEARCH]
    process = succeeded(fairseq("generate", tmp_path / "out", *TASK, *search, cwd=tmp_path))
    decoded, languages = process.stdout, [row.tgt_lang for row in manifest.read(tmp_path / "out/silence.tsv")]
    assert languages == ["de"] * 3 + ["en"] * 3 and sorted(hypotheses(decoded)) == list(range(6)) and "<lang:" not in decoded
    scores, texts = (dict(re.findall(pattern, decoded, re.MULTILINE)) for pattern in (r"^P-(\d+)\t(.*)$", r"^H-(\d+)\t\S+\t(.*)$"))
    # The tag and the end have scores, but no piece; after one update a model may write further tags, which are not shown either.
    assert all(len(scores[row].split()) >= len(texts[row].split()) + 2 for row in texts)
