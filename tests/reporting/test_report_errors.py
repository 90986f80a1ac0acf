"""`speechllm report`: what is wrong with its input is said in one line, and no file is left; what is no error."""

import importlib.metadata
import re
import sys

import pytest
import synthetic_runs

from speechllm_plugin import __version__
from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest

SPLIT = synthetic_runs.SPLIT


@pytest.fixture
def fresh(tmp_path):
    return synthetic_runs.make(tmp_path, utterances=12, training=50)


def report(*arguments):
    return cli.main(["report", *map(str, arguments)])


def edit(path, change):
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def not_utf8(runs, data):
    path = runs[1] / f"generate-{SPLIT}.txt"
    path.write_bytes(path.read_bytes().replace(b"D-3\t-0.31\t", b"D-3\t-0.31\t\xff"))


def another_test_set(runs, data):
    other = synthetic_runs.make(runs[0].parent / "other", utterances=12, seed=5)
    (runs[1] / f"generate-{SPLIT}.txt").write_text((other[1] / f"generate-{SPLIT}.txt").read_text())


def another_manifest(runs, data):
    other = synthetic_runs.make(runs[0].parent / "other", utterances=12, seed=5)
    for name in (f"generate-{SPLIT}.txt", f"generate-{SPLIT}.log"):
        (runs[1] / name).write_text((other[1] / name).read_text())


def a_row_less(runs, data):
    edit(runs[1] / f"generate-{SPLIT}.txt", lambda text: re.sub(r"(?m)^D-7\t.*\n", "", text))


def several_splits(runs, data):
    (runs[0] / "generate-dev.txt").write_text("D-0\t-0.1\ta\n")


def no_output(runs, data):
    (runs[1] / f"generate-{SPLIT}.txt").unlink()


def no_data(runs, data):
    data.rename(data.with_name("moved"))


def no_references(runs, data):
    rows = manifest.read(data / f"{SPLIT}.tsv")
    for run in runs:
        edit(run / f"generate-{SPLIT}.txt", lambda text: re.sub(r"(?m)^T-.*\n", "", text))
    manifest.write(data / f"{SPLIT}.tsv", [type(row)(row.id, row.audio, row.n_frames, "", row.speaker, row.src_text) for row in rows])


def only_punctuation(runs, data):
    for run in runs:
        edit(run / f"generate-{SPLIT}.txt", lambda text: re.sub(r"(?m)^T-.*\n", "", text))
    rows = manifest.read(data / f"{SPLIT}.tsv")
    manifest.write(data / f"{SPLIT}.tsv", [type(row)(row.id, row.audio, row.n_frames, "...", row.speaker, row.src_text, "en", "en") for row in rows])


def another_silence(runs, data):
    """The second run decoded a data folder of its own, which has the same test set and other silence."""
    other = synthetic_runs.make(runs[0].parent / "other", utterances=12, training=50)[1]
    edit(other.parent / "data" / "silence.tsv", lambda text: text.replace("silence_0", "quiet_0"))
    for name in (f"generate-{SPLIT}.txt", f"generate-{SPLIT}.log", "generate-silence.txt"):
        (runs[1] / name).write_text((other / name).read_text())


def nothing(runs, data):
    pass


@pytest.mark.parametrize(
    ("damage", "arguments", "messages"),
    [
        (not_utf8, [], ["must be UTF-8", "generate-"]),
        (another_test_set, [], ["hypotheses for another test set", "targets differ"]),
        (another_manifest, [], ["different test sets", "row 0"]),
        (another_silence, [], ["different test sets", "silence.tsv", "quiet_0"]),
        (only_punctuation, [], ["WER norm. has no value", "--metrics"]),
        (a_row_less, [], ["every row needs one decoding", "7 test_7"]),
        (several_splits, [], ["several splits", "--split"]),
        (no_output, [], ["fairseq-generate", "--gen-subset tst-COMMON"]),
        (no_data, [], [f"{SPLIT}.tsv: neither in", "--data"]),
        (no_references, [], ["reference text", "empty"]),
        (nothing, ["--split", "dev"], ["generate-dev.txt: no such file"]),
        (nothing, ["--slices", "dialect"], ["dialect", "accent"]),
        (nothing, ["--utterances", "nobody"], ["--utterances", "'nobody'", "test_0"]),
        (nothing, ["--speakers", "nowhere.tsv"], ["nowhere.tsv"]),
        (nothing, ["--seed", "-1"], ["--seed"]),
        (nothing, ["--examples", "-1"], ["--examples"]),
    ],
)
def test_bad_input_ends_with_one_line(fresh, tmp_path, capsys, damage, arguments, messages):
    damage(fresh, tmp_path / "data")
    assert report(*fresh, "--out", tmp_path / "out" / "r.html", *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("speechllm: error: ") and error.count("\n") == 1
    assert all(message in error for message in messages), error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        (["{0},{1}", "b={0}"], "as many training seeds"),
        (["{0}", "{0}"], "name of its own"),
        (["a={0}", "a={1}"], "name of its own"),
        (["a={0},{0}", "b={1},{0}"], "stands twice among its seeds"),
        (["{0},", "{1}"], "empty folder"),
        (["{0}/none", "{1}"], "no such run"),
        ([f"{name}={{0}}" for name in "abcdefghij"], "9 systems"),
    ],
)
def test_systems_that_cannot_be_compared(fresh, tmp_path, capsys, systems, message):
    assert report(*[system.format(*fresh) for system in systems], "--out", tmp_path / "r.html") == 1
    assert message in capsys.readouterr().err


def test_a_missing_library_is_named_with_what_installs_it(fresh, tmp_path, capsys, monkeypatch):
    for name in ("jinja2", "markupsafe"):
        monkeypatch.setitem(sys.modules, name, None)
    assert report(*fresh, "--out", tmp_path / "r.html") == 1
    assert "pip install 'speechllm_plugin[report]'" in capsys.readouterr().err


def test_what_cannot_be_written_is_said_before_any_work(fresh, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for arguments in (["--out", tmp_path / "file" / "r.html"], ["--out", tmp_path / "r.html", "--tables", tmp_path / "file"], ["--out", tmp_path]):
        assert report(*fresh, *arguments) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and arguments[-2] in error and ".tmp" not in error
        assert "is no folder" in error or "is a folder" in error
    assert not list(tmp_path.glob("*.html")) and report(*fresh, "--out", tmp_path / "r.html", "--split", "../x") == 1


def test_names_with_commas_and_equals_signs_are_folders_if_there_are_such(fresh, tmp_path):
    odd = [run.rename(run.with_name(name)) for run, name in zip(fresh, ("a,b", "c=d"))]
    assert report(odd[0], f"second={odd[1]}", "--out", tmp_path / "r.html", "--no-audio", "--examples", 0, "--slices", "gender") == 0
    assert "second" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_clone_that_is_not_installed_makes_a_report(fresh, tmp_path, monkeypatch):
    find = importlib.metadata.Distribution.from_name

    def find_others(name):
        if name == "speechllm_plugin":
            raise importlib.metadata.PackageNotFoundError(name)
        return find(name)

    monkeypatch.setattr(importlib.metadata.Distribution, "from_name", find_others)
    assert report(f"dfp={fresh[0]}", "--out", tmp_path / "one.html", "--slices", "gender", "--no-audio", "--examples", "1", "--resamples", "100") == 0
    assert f"speechllm_plugin {__version__}" in (tmp_path / "one.html").read_text(encoding="utf-8")
