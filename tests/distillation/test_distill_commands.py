"""A teacher from its training to its student, through the commands that a user gives."""

import json
import re
import shutil

import numpy as np
import pytest
from commands import (
    PACKAGE,
    SEARCH,
    TASK,
    at_once,
    fairseq,
    generate,
    last_line,
    speechllm,
    succeeded,
    train,
)
from commands import updates as updates_of

from speechllm_plugin.data import manifest
from speechllm_plugin.distillation import kd_file

pytestmark = pytest.mark.end_to_end

TEXT_TASK = ["--user-dir", PACKAGE, "--task", "speechllm_text_to_text"]
TEACHER = ["--arch", "transformer", "--share-decoder-input-output-embed"] + [
    argument
    for side in ("encoder", "decoder")
    for argument in (f"--{side}-layers", 1, f"--{side}-embed-dim", 16, f"--{side}-ffn-embed-dim", 16, f"--{side}-attention-heads", 2)
]
LIMITS = ["--beam", 3, "--max-len-a", 0, "--max-len-b", 12]
NUM_ROWS, K = 22, 3


@pytest.fixture(scope="module")
def teacher(data):
    """A checkpoint after some updates, with the stock criterion."""
    plugin = [*TEXT_TASK, "--criterion", "label_smoothed_cross_entropy"]
    process = succeeded(train(data, data.parent / "teacher", "--max-tokens", 200, model=TEACHER, updates=30, plugin=plugin))
    losses = [log["loss"] for log in updates_of(process).values()]
    assert float(losses[-1]) < float(losses[0])
    return data.parent / "teacher/checkpoint_last.pt"


@pytest.fixture(scope="module")
def distilled(data, teacher):
    """Folders with the k best translations in columns: of the teacher run here, and of what fairseq-generate printed."""
    output = succeeded(generate(data, teacher, "train", "--max-len-b", 12, plugin=TEXT_TASK)).stdout
    (data.parent / "generated.txt").write_text(output, encoding="utf-8")
    common = ["distill", "--data", data, "--split", "train", "--mode", "columns", "--kbest", K]
    run, read = at_once(
        lambda: speechllm(*common, "--teacher", teacher, *LIMITS, "--cpu", "--out", data.parent / "run", cwd=data.parent),
        lambda: speechllm(*common, "--teacher-output", "generated.txt", "--out", data.parent / "read", cwd=data.parent),
    )
    succeeded(run), succeeded(read)
    return data.parent / "run", data.parent / "read"


def translations(folder):
    """Texts and scores of the columns, by row."""
    rows = manifest.read(folder / "train.tsv")
    names = ["", *(f"_{rank}" for rank in range(2, K + 1))]
    texts = [[row.extra[f"kd_text{name}"] for name in names] for row in rows]
    return texts, np.array([[float(row.extra[f"kd_score{name}"]) for name in names] for row in rows])


def test_a_teacher_says_here_what_it_says_to_fairseq_generate(distilled):
    (texts, scores), (expected_texts, expected_scores) = map(translations, distilled)
    assert texts == expected_texts and len(texts) == NUM_ROWS and len(set(map(tuple, texts))) > 5
    np.testing.assert_allclose(scores, expected_scores, atol=1e-4)


def test_a_run_cut_off_goes_on(distilled, data, teacher):
    """The KD file ends in the middle of a line, and the manifest is not there: as after a kill."""
    out = data.parent / "cut"
    shutil.copytree(distilled[0], out)
    (out / "train.tsv").unlink()
    with open(out / "teacher/train.tsv", "r+b") as file:
        file.truncate(600)
    arguments = ["distill", "--data", data, "--split", "train", "--mode", "columns", "--kbest", K, "--teacher", teacher, *LIMITS, "--cpu"]
    succeeded(speechllm(*arguments, "--out", out, cwd=data.parent))
    assert translations(out)[0] == translations(distilled[0])[0]
    whole = kd_file.read(distilled[0] / "teacher/train.tsv")
    found = kd_file.read(out / "teacher/train.tsv")
    assert found.keys() == whole.keys() and (out / "teacher/train.tsv").read_text().count("\n") == 1 + K * NUM_ROWS
    (out / "train.tsv").unlink()
    process = speechllm(*arguments, "--out", out, "--lenpen", 2, cwd=data.parent)
    assert process.returncode == 1 and "train.tsv: was begun with options" in last_line(process)


def test_students_train_on_the_folder_and_on_the_probabilities(distilled, data, teacher):
    """Original and distilled rows; both texts and the teacher's probabilities; the features stay where they are."""
    appended, cache = data.parent / "appended", data.parent / "cache"
    common = ["distill", "--data", data, "--teacher", teacher, "--cpu"]
    for process in at_once(
        lambda: speechllm(*common, "--split", "train", "--mode", "append", *LIMITS, "--out", appended, cwd=data.parent),
        lambda: speechllm(*common, "--split", "train", "--word-level", 5, "--out", cache / "train", cwd=data.parent),
    ):
        succeeded(process)
    assert json.loads((cache / "train/description.json").read_text())["num_utterances"] == NUM_ROWS
    kd = ["--criterion", "sequence_kd", "--kd-weight", "0.5", "--word-kd-weight", "0.5", "--word-kd-cache", cache, "--disable-validation"]
    for process in at_once(
        lambda: train(appended, None, updates=8),
        lambda: train(distilled[0], None, plugin=[*TASK, *kd]),
    ):
        assert len(updates_of(succeeded(process))) in (6, 8)
    assert "audio_root" in (appended / "config.yaml").read_text() and not list(appended.glob("*.zip"))


def test_interactive_translates_lines_as_generate_does(data, teacher):
    rows = manifest.read(data / "tst-COMMON.tsv")
    expected = succeeded(generate(data, teacher, "tst-COMMON", plugin=TEXT_TASK))
    lines = "".join(f"{row.src_text}\n" for row in rows)
    arguments = [*TEXT_TASK, "--path", teacher, *SEARCH, "--buffer-size", 20, "--batch-size", 4]
    process = succeeded(fairseq("interactive", data, *arguments, cwd=data.parent, input=lines))

    def texts(output):
        return sorted(re.findall(r"^D-(\d+)\t\S+\t(.*)$", output, re.MULTILINE))

    assert texts(process.stdout) == texts(expected.stdout) and len(texts(process.stdout)) == 3 * len(rows)


def test_what_is_no_teacher_is_refused(data, trained, teacher, tmp_path):
    """A speech model; and a teacher that was trained with other vocabularies."""
    other = tmp_path / "data"
    shutil.copytree(data, other)
    first, second, *lines = (data / "spm_transcript.txt").read_text().splitlines(keepends=True)
    (other / "spm_transcript.txt").write_text("".join([second, first, *lines]))
    common = ["distill", "--data", data, "--split", "train", "--mode", "replace", "--cpu", "--out"]
    speech, changed = at_once(
        lambda: speechllm(*common, tmp_path / "out", "--teacher", trained.checkpoint, cwd=tmp_path),
        lambda: speechllm(*common, tmp_path / "changed", "--teacher", teacher, "--teacher-data", other, cwd=tmp_path),
    )
    assert "must be trained with --task speechllm_text_to_text, but is with speechllm_speech_to_text" in last_line(speech)
    assert "its transcript vocabulary is not the one that the checkpoint was trained with" in last_line(changed)
    assert not (tmp_path / "out").exists() and not (tmp_path / "changed").exists() and {speech.returncode, changed.returncode} == {1}
