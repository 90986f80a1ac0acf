"""The recipes on real speech in both layouts: rows x tasks in the order of dependencies, resumed, tabled, scheduled (needs the real data)."""

import json
import re

import pytest
from commands import ROOT
from digits import bash, lay_out_study, needs_real_data

pytestmark = [pytest.mark.end_to_end, needs_real_data]

TASKS = "mustc/asr,mustc/st-de+fr,mustc/joint-de,covost2/st-en:de"
SBATCH = r"""#!/usr/bin/env bash
# Runs what would be submitted at once, one array task after the other.
set -euo pipefail
array=""
while [[ $1 == --* ]]; do case $1 in --array) array=$2 && shift 2 ;; --parsable) shift ;; *) shift 2 ;; esac; done
for task in $([[ -z $array ]] || seq "${array%-*}" "${array#*-}"); do SLURM_ARRAY_TASK_ID=$task bash "$@" >>"$SBATCH_LOG" 2>&1; done
[[ -n $array ]] || bash "$@" >>"$SBATCH_LOG" 2>&1
echo $RANDOM
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The spoken digits laid out as MuST-C and as CoVoST2; rows 5.1 and 6 in small."""
    folder = tmp_path_factory.mktemp("study")
    lay_out_study(folder)
    return folder


def study(folder, *arguments, **environment):
    roots = [folder / "digits-mustc", folder / "digits-covost"]
    options = ["--tasks", TASKS, "--rows", "5.1,6", "--training", folder / "training.sh", "--out", folder / "out", *arguments]
    return bash(ROOT / "recipes/study.sh", *roots, *options, cwd=folder, **environment)


@pytest.fixture(scope="module")
def finished(folder):
    dry = study(folder, "--dry-run")
    assert dry.returncode == 0, dry.stderr[-3000:]
    assert not (folder / "out").exists()
    process = study(folder, "--jobs", 2)
    assert process.returncode == 0, process.stderr[-3000:]
    return folder, dry.stdout, process.stdout


def test_a_dry_run_lists_every_command_and_the_work_to_expect(finished):
    _, dry, _ = finished
    commands = [line.split("$ ", 1)[1] for line in dry.splitlines() if "$ " in line]
    kinds = [re.search(r"fairseq-\w+|speechllm_plugin.commands.cli \w+", command)[0].split()[-1] for command in commands]
    assert kinds.count("prepare") == 5  # recognition of CoVoST2 was added for its translation
    assert kinds.count("fairseq-train") == 10
    assert kinds.count("fairseq-generate") == kinds.count("score") == 12  # joint models have two test sets
    assert dry.count("# at most 3 updates of up to 20,000 frames on one GPU") == 10
    assert re.search("on one GPU, 1 times the [34]\\d,\\d{3} of the training set", dry)
    assert "In all: 10 trainings, at most 30 updates, 600,000 frames." in dry
    trainings = [command for command in commands if command.startswith("fairseq-train")]
    translations = [command for command in trainings if "/st-" in command.split()[1]]
    assert all("--init-encoder-from" in command for command in translations) and len(translations) == 4
    assert all(("--init-decoder-from" in command) == ("row6" in command) for command in translations)
    assert trainings.index(translations[0]) == 6  # recognition and joint models come first


def test_every_experiment_is_scored_and_stands_in_the_table(finished):
    folder, _, _ = finished
    table = (folder / "out/table.md").read_text()
    header, _, first, second = table.splitlines()[:4]
    for heading in ("MuST-C asr en-de WER", "MuST-C st en-de+fr BLEU", "MuST-C joint asr en-de WER", "CoVoST2 st en-de BLEU"):
        assert heading in header
    assert first.startswith("| row5.1_dfp_conformer_compressed |") and second.startswith("| row6_decoder_only_32 |")
    assert "–" not in first.replace("| – |", "", 1)  # only the speed, as row 1 was not asked for
    assert "the paper's figures are not comparable" in table
    multilingual = json.loads((folder / "out/mustc/st-en-de+fr/row6_decoder_only_32-seed1/score-tst-COMMON.json").read_text())
    assert {name: value["num_sentences"] for name, value in multilingual["values"].items()} == {"de": 40, "fr": 40}
    assert multilingual["mean"]["bleu"]["score"] == pytest.approx(sum(v["metrics"]["bleu"]["score"] for v in multilingual["values"].values()) / 2)


def test_translation_starts_from_recognition_with_the_same_labels(finished):
    folder, _, _ = finished
    for corpus, translation in (("mustc", "st-en-de+fr"), ("covost2", "st-en-de")):
        labels = {(folder / f"out/{corpus}/{name}/data/spm_transcript.model").read_bytes() for name in ("asr-en-de", translation)}
        assert len(labels) == 1
        for model in ("row5.1_dfp_conformer_compressed", "row6_decoder_only_32"):
            log = (folder / f"out/{corpus}/{translation}/{model}-seed1/train.log").read_text()
            assert re.search(rf"encoder: \d+ tensors from \S*{corpus}/asr-en-de/{model}-seed1/average.pt", log)
            assert ("decoder: " in log) == ("row6" in model)


def test_hypotheses_of_multilingual_models_begin_with_their_language_and_are_scored_without(finished):
    folder, _, _ = finished
    out = folder / "out/mustc/st-en-de+fr"
    languages = [line.split("\t")[7] for line in (out / "data/tst-COMMON.tsv").read_text().splitlines()[1:]]
    decoded = (out / "row6_decoder_only_32-seed1/generate-tst-COMMON.txt").read_text()
    assert "<lang:" not in decoded
    rows = re.findall(r"^P-(\d+)\t(.*)$", decoded, re.MULTILINE)
    hypotheses = dict(re.findall(r"^H-(\d+)\t\S+\t(.*)$", decoded, re.MULTILINE))
    assert len(rows) == len(languages) == 80
    for row, scores in rows:  # the tag and the end have scores, but no piece
        assert len(scores.split()) == len(hypotheses[row].split()) + 2


def test_a_second_run_does_nothing_again(finished):
    folder, _, _ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.glob("out/**/*.pt")}
    process = study(folder)
    assert process.returncode == 0, process.stderr[-3000:]
    stages = [line for line in process.stdout.splitlines() if re.match(r"(prepare|train|average|generate|score) ", line)]
    assert len(stages) == 5 + 10 * 2 + 12 * 2 and all("(done before)" in line for line in stages)
    assert before == {path: path.stat().st_mtime_ns for path in folder.glob("out/**/*.pt")}


def test_slurm_runs_the_same_experiments(finished, tmp_path):
    folder, _, _ = finished
    (tmp_path / "sbatch").write_text(SBATCH)
    (tmp_path / "sbatch").chmod(0o755)
    arguments = [folder / "digits-mustc", "--tasks", "asr,st-de+fr", "--rows", "6", "--training", folder / "training.sh", "--out", folder / "out"]
    log = tmp_path / "log"
    process = bash(ROOT / "recipes/slurm/submit.sh", *arguments, cwd=folder, first_in_path=[tmp_path], SBATCH_LOG=str(log))
    assert process.returncode == 0, process.stderr[-3000:] + log.read_text()[-3000:]
    assert re.findall(r"(\w+): job \d+, 1 experiments", process.stdout) == ["asr", "st"] and "table: job" in process.stdout
    assert re.findall(r"^train     \S+/(\w+-en-de\S*/\S+)  \(done before\)$", log.read_text(), re.MULTILINE) == [
        "asr-en-de/row6_decoder_only_32-seed1",
        "st-en-de+fr/row6_decoder_only_32-seed1",
    ]
    assert "| row6_decoder_only_32 |" in log.read_text()


def test_the_recipe_of_one_model_uses_the_same_data(finished):
    folder, _, _ = finished
    common = ["--training", folder / "training.sh", "--task", "st", "--vocab-size", 100]
    model = ROOT / "recipes/models/row3_decoder_only_18.sh"
    for corpus, root, languages in (("mustc", "digits-mustc", ["de+fr"]), ("covost2", "digits-covost", ["en", "de"])):
        labels = ["--transcript-vocab-from", folder / f"out/{corpus}/asr-en-de/data"]
        out = ["--root", folder / root, "--out", folder / "out" / corpus]
        process = bash(ROOT / f"recipes/{corpus}/run.sh", *common, *out, *labels, *languages, model, "--", "--max-update", 2, cwd=folder)
        assert process.returncode == 0, process.stderr[-3000:]
        assert re.search(r"^prepare .*\(done before\)$", process.stdout, re.MULTILINE) and "BLEU" in process.stdout
        assert len(list(folder.glob(f"out/{corpus}/st-*/row3_decoder_only_18/score-*.json"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "st-nl"], "needs the direction en-nl, but .* has only en-de en-fr"),
        (["--rows", "7"], "there is no models/row7_"),
        (["--tasks", "qa-de"], "a task is asr, st-LANGUAGES or joint-LANGUAGES, but is qa-de"),
        (["--tasks", "covost2/asr"], "needs the corpus covost2, but its root is not given"),
        (["--seeds", "one"], "--seeds must be numbers"),
    ],
)
def test_wrong_arguments_end_in_one_line_before_anything_is_written(folder, tmp_path, arguments, message):
    process = bash(ROOT / "recipes/study.sh", folder / "digits-mustc", "--tasks", "asr", *arguments, "--out", tmp_path / "out", cwd=folder)
    assert process.returncode != 0 and re.search(message, process.stderr) and process.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_clip_ends_the_study_before_anything_is_written(folder, tmp_path):
    root = tmp_path / "covost"
    (root / "en").mkdir(parents=True)
    for name in ("validated.tsv", "covost_v2.en_de.tsv"):
        (root / "en" / name).write_bytes((folder / "digits-covost/en" / name).read_bytes())
    (root / "en/clips").mkdir()
    for clip in list((folder / "digits-covost/en/clips").iterdir())[3:]:
        (root / "en/clips" / clip.name).symlink_to(clip)
    process = bash(
        ROOT / "recipes/study.sh",
        root,
        "--tasks",
        "st-en:de",
        "--rows",
        "1",
        "--training",
        folder / "training.sh",
        "--out",
        tmp_path / "out",
        cwd=tmp_path,
    )
    assert process.returncode != 0 and "common_voice_en_" in process.stderr and not (tmp_path / "out").exists()
