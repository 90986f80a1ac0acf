"""recipes/mustc/run.sh --kd on the digits: teacher, distilled data and student, resumed, and from a file of translations."""

import json

import pytest
from commands import ROOT
from digits import TEACHER_TRAINING, TRAINING, bash, lay_out_digits, needs_real_data

from speechllm_plugin.data import manifest

pytestmark = [pytest.mark.end_to_end, needs_real_data]


def run(folder, *arguments):
    options = ["--root", folder / "digits-mustc", "--training", folder / "training.sh", "--out", folder / "out"]
    sizes = ["--vocab-size", 100, "--transcript-vocab-size", 48]
    return bash(ROOT / "recipes/mustc/run.sh", *options, *sizes, *arguments, "de", ROOT / "recipes/models/row5_dfp_conformer.sh", cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distillation")
    lay_out_digits("digits-mustc", folder)
    (folder / "training.sh").write_text(TRAINING + TEACHER_TRAINING)
    return folder


def test_students_of_an_own_teacher_and_of_a_file(folder):
    first = run(folder, "--kd", "own", "--kd-mode", "sequence_kd")
    assert first.returncode == 0, first.stderr[-3000:]
    out = folder / "out/st-en-de"
    assert set(json.loads((out / "teacher/score-tst-COMMON.json").read_text())["metrics"]) == {"bleu", "chrf"}
    assert "kd_nll_loss" in (out / "row5_dfp_conformer-kd-own-sequence_kd/train.log").read_text()
    again = run(folder, "--kd", "own", "--kd-mode", "sequence_kd")
    stages = ["prepare", *["train", "average", "generate", "score"] * 2, "distill"]
    assert again.returncode == 0 and sum("(done before)" in line for line in again.stdout.split("\n")) == len(stages)
    file = run(folder, "--kd", out / "data-kd-own-sequence_kd/teacher/train.tsv")
    assert file.returncode == 0, file.stderr[-3000:]
    rows = manifest.read(out / "data-kd-train-append/train.tsv")
    assert len(rows) == 600 and [row.id for row in rows[300:]] == [f"{row.id}_kd" for row in rows[:300]]
    assert "chrf" in (out / "row5_dfp_conformer-kd-train-append/score-tst-COMMON.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kd", "none.tsv"], "--kd must be own, nllb, nllb:MODEL or a file of translations, but is none.tsv"),
        (["--kd", "own", "--task", "asr"], "--kd distills translations: it needs --task st, but --task is asr"),
        (["--kd-mode", "append"], "--kd-mode needs --kd"),
        (["--kd", "own", "--kd-mode", "sampled"], "--kd-mode must be append, replace, kbest, interpolate or sequence_kd, but is sampled"),
    ],
)
def test_what_cannot_be_distilled_is_said_first(folder, arguments, message):
    process = run(folder, *arguments)
    assert process.returncode == 2 and message in process.stderr
