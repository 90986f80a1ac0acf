"""`speechllm distill` over translations that are there: what it writes, and what it refuses before it writes anything."""

import json
from dataclasses import replace

import pytest
from small_teacher import make_folder, make_rows

from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest
from speechllm_plugin.distillation import kd_file

ROWS = make_rows(6)
HYPOTHESES = {row.id: [(-1.0, row.tgt_text), (-2.0, "t1 t2"), (-3.0, f"t3 {number}")] for number, row in enumerate(ROWS)}


@pytest.fixture
def given(tmp_path, monkeypatch):
    """A data folder `data` and its translations `kd.tsv`, in the current folder."""
    monkeypatch.chdir(tmp_path)
    make_folder("data", train=ROWS, dev=ROWS[:2])
    write_translations()
    return tmp_path


def write_translations(rows=ROWS, hypotheses=HYPOTHESES, k=3, path="kd.tsv"):
    with kd_file.Writer(path, kd_file.describe(rows, teacher="m2m", split="train", k=k, options={})) as writer:
        writer.write([(row, hypotheses[row.id][:k]) for row in rows])


def distill(*arguments, teacher=("--teacher-output", "kd.tsv"), mode=("--mode", "append"), out="out"):
    return cli.main(["distill", "--data", "data", "--split", "train", *teacher, *mode, "--out", out, *arguments])


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


NUM_ROWS = {"columns": 6, "replace": 6, "append": 12, "kbest": 18, "interpolate": 6, "sampled": 6}


@pytest.mark.parametrize(("mode", "num_rows"), NUM_ROWS.items())
def test_every_mode_writes_a_data_folder(mode, num_rows, given, capsys):
    assert distill("--report", "about.md", mode=("--mode", mode)) == 0
    rows = manifest.read("out/train.tsv")
    assert len(rows) == num_rows and {row.src_text for row in rows} == {row.src_text for row in ROWS}
    assert manifest.read("out/dev.tsv") == ROWS[:2]
    report = json.loads((given / "about.json").read_text())
    used = {"kbest": 18, "sampled": 18}.get(mode, 6)
    assert (report["teacher"], report["mode"], report["num_translations"]) == ("m2m", mode, used)
    assert f"out/train.tsv: {num_rows} rows; {used} translations of 6 utterances; suspicious: empty 0" in capsys.readouterr().out


def test_kbest_says_how_many_of_the_translations_are_used(given):
    assert distill("--kbest", "2", mode=("--mode", "columns")) == 0
    assert list(manifest.read("out/train.tsv")[0].extra) == ["kd_source_hash", "kd_text", "kd_score", "kd_text_2", "kd_score_2"]


def test_the_reference_stands_for_empty_translations_if_asked_for(given):
    (given / "kd.tsv").unlink()
    write_translations(hypotheses=HYPOTHESES | {"utt_2": [(-1.0, " ")]}, k=1)
    assert distill("--empty", "reference", "--report", "about.md", mode=("--mode", "replace")) == 0
    assert manifest.read("out/train.tsv")[2].tgt_text == ROWS[2].tgt_text
    assert json.loads((given / "about.json").read_text())["problems"]["empty"] == 1


def changed(number, **fields):
    return [replace(row, **fields) if place == number else row for place, row in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        (lambda: make_folder("data", train=changed(3, src_text="s0 s8 s0 s8 s0")), {}, "1 of 6 utterances have another source text or"),
        (lambda: make_folder("data", train=changed(3, tgt_lang="fr" if ROWS[3].tgt_lang == "de" else "de")), {}, "the first is 'utt_3'"),
        (lambda: make_folder("data", train=changed(3, src_text=" ")), {}, "src_text, but it is empty in 1 of 6 rows, the first is 'utt_3'"),
        (lambda: make_folder("data", train=make_rows(8)), {}, "2 of 8 utterances have no translation, the first is 'utt_6'"),
        (lambda: None, {"arguments": ["--kbest", "4"], "mode": ["--mode", "kbest"]}, "has 3 translations per row, but --kbest is 4"),
        (lambda: None, {"teacher": ["--teacher-output", "kd.tsv", "kd.tsv"]}, "is a KD file, of which --teacher-output takes one"),
        (lambda: None, {"teacher": ["--teacher-output", "absent.txt"]}, "absent.txt: No such file"),
        (lambda: None, {"teacher": ["--teacher", "absent.pt"]}, "absent.pt: no such file"),
        (lambda: None, {"out": "data"}, "--out must be another folder than --data"),
        (lambda: None, {"teacher": []}, "give the teacher: --teacher CHECKPOINT, or its translations"),
        (lambda: None, {"mode": []}, "give what to make: --mode {columns,replace,append,kbest,interpolate,sampled}, or --word-level K"),
        (lambda: None, {"arguments": ["--teacher", "t.pt"]}, "--teacher and --teacher-output exclude each other"),
        (lambda: None, {"arguments": ["--beam", "5"]}, "--beam has an effect only with --teacher"),
        (lambda: None, {"arguments": ["--cpu"]}, "--cpu has an effect only with --teacher"),
        (lambda: None, {"arguments": ["--word-level", "5"]}, "--mode and --word-level exclude each other"),
        (lambda: None, {"mode": ["--word-level", "5"]}, "--word-level has an effect only with --teacher"),
        (lambda: None, {"arguments": ["--kbest", "2"]}, "--mode append takes the best translation: --kbest must be 1"),
        (lambda: None, {"arguments": ["--kbest", "0"]}, "--kbest must be at least 1, but is 0"),
        (lambda: None, {"teacher": ["--teacher", "t"], "mode": ["--mode", "kbest", "--kbest", "6"]}, "--kbest must be at most --beam (5)"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_bad_input_ends_in_one_line_and_writes_nothing(prepare, arguments, message, given, capsys):
    prepare()
    before = files(given)
    arguments = dict(arguments)
    assert distill(*arguments.pop("arguments", []), **arguments) == 1
    error = capsys.readouterr().err.strip().rpartition("\n")[2]
    assert error.startswith("speechllm: error: ") and message in error
    assert files(given) == before


@pytest.mark.parametrize("mode", ["replace", "columns"])
def test_empty_translations_are_refused(mode, given, capsys):
    (given / "kd.tsv").unlink()
    write_translations(hypotheses=HYPOTHESES | {"utt_2": [(-1.0, "")], "utt_4": [(-1.0, " ")]}, k=1)
    assert distill(mode=("--mode", mode)) == 1
    assert "2 of 6 translations are empty, the first is of utterance 'utt_2': give --empty reference" in capsys.readouterr().err
    assert not (given / "out").exists()


def test_the_same_command_may_run_again_and_another_one_may_not(given, capsys):
    assert distill() == 0
    before = (given / "out/train.tsv").read_bytes()
    assert distill() == 0
    assert distill(mode=("--mode", "replace")) == 1
    assert "--mode is replace, but out was made with append; choose another --out" in capsys.readouterr().err
    assert (given / "out/train.tsv").read_bytes() == before
