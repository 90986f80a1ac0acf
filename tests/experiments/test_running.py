"""What is run of an experiment: the arguments of a recipe, its stages as a script, several at a time, and what the console sees of a training."""

import importlib.util
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from speechllm_plugin.distillation.modes import MODES
from speechllm_plugin.experiments import command_line, run_one, study_settings, study_stages
from speechllm_plugin.experiments.distillation_plan import KD_MODES, Distillation
from speechllm_plugin.experiments.scheduling import run_at_once
from speechllm_plugin.experiments.stage_script import StageScript, visible_gpus
from speechllm_plugin.experiments.task_data import TaskData
from speechllm_plugin.experiments.training_file import Gpus

ROOT = Path(__file__).resolve().parents[2]
ROW5 = str(ROOT / "recipes/models/row5_dfp_conformer.sh")
ROW3 = str(ROOT / "recipes/models/row3_decoder_only_18.sh")


def stages(script):
    """The calls of stages, without what sets their arrays."""
    return [line for line in str(script).split("\n") if line.split(" ")[0] not in ("source", "dry_run=1") and "=" not in line.split(" ")[0]]


@pytest.mark.skipif(importlib.util.find_spec("MeCab") is not None, reason="sacreBLEU's tokenizer for Japanese is installed")
def test_a_recipe_asks_for_the_library_of_its_scores_before_it_begins():
    with pytest.raises(ValueError, match=r"BLEU of texts in ja: .*pip install sacrebleu\[ja\]"):
        run_one.read("covost2", ["en", "de+ja", ROW5])
    run_one.read("covost2", ["--task", "asr", "ja", "en", ROW5])


def test_options_flags_and_words_may_stand_in_any_order():
    words = ["--a", "1", "x", "--flag", "--a", "--flag", "y", "--b", "2 3", "--", "--lr", "--", "z"]
    given = command_line.read(words, ["--a", "--b", "--c"], ["--flag"])
    assert given == ([("--a", "1"), ("--a", "--flag"), ("--b", "2 3")], {"--flag"}, ["x", "y"], ["--lr", "--", "z"])
    assert given.last("--a", "") == "--flag" and given.last("--c", "none") == "none"
    assert given.pairs(["--b", "--a"]) == ["--a", "1", "--a", "--flag", "--b", "2 3"]


@pytest.mark.parametrize(("words", "message"), [(["--a"], "--a needs a value"), (["--d", "1"], "unknown option --d"), (["-x"], "unknown option -x")])
def test_unknown_and_incomplete_options_are_errors(words, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        command_line.read(words, ["--a"], [])


def test_usage_errors_are_one_line_that_names_the_help(capsys):
    with pytest.raises(SystemExit) as end, command_line.usage_errors("mustc/run.sh"):
        raise ValueError("x is no file")
    assert end.value.code == 2
    assert capsys.readouterr().err == "mustc/run.sh: error: x is no file; `bash recipes/mustc/run.sh --help` describes the arguments\n"


def test_a_run_prepares_trains_and_scores():
    arguments = ["--root", "my corpus", "--vocab-size", "9", "--silence", "de+fr", "--hold-out", "accent=other: Greek", ROW5, "--", "--bf16"]
    script = run_one.read("mustc", arguments).script(Gpus(2, 79.6))
    assert stages(script) == [
        "prepare experiments/mustc/st-en-de+fr/data python3 -m speechllm_plugin.commands.cli prepare mustc --root 'my corpus' --task st "
        "--source-lang en --target-lang de fr --out experiments/mustc/st-en-de+fr/data --vocab-size 9 --hold-out 'accent=other: Greek'",
        "silence experiments/mustc/st-en-de+fr/data",
        "train experiments/mustc/st-en-de+fr/data experiments/mustc/st-en-de+fr/row5_dfp_conformer",
        "average experiments/mustc/st-en-de+fr/row5_dfp_conformer",
        "generate experiments/mustc/st-en-de+fr/data experiments/mustc/st-en-de+fr/row5_dfp_conformer tst-COMMON",
        "score experiments/mustc/st-en-de+fr/data experiments/mustc/st-en-de+fr/row5_dfp_conformer tst-COMMON bleu chrf",
        "generate experiments/mustc/st-en-de+fr/data experiments/mustc/st-en-de+fr/row5_dfp_conformer silence",
        "summary tst-COMMON experiments/mustc/st-en-de+fr/row5_dfp_conformer",
    ]
    lines = str(script).split("\n")
    (training,) = (line for line in lines if line.startswith("TRAINING_ARGS="))
    assert training.startswith("TRAINING_ARGS=(--lr-scheduler ") and training.endswith(" --seed 1 --bf16)")
    flags = "--optimizer speechllm_adam --num-batch-buckets 64 --cuda-graphs 96 --ddp-backend legacy_ddp"
    assert f"MACHINE_ARGS=(--max-tokens 160000 --update-freq 1 {flags})" in lines
    assert "SCORE_ARGS=(--by tgt_lang)" in lines and "AVERAGE_LAST=5" in lines and "GENERATION_ARGS=(--max-tokens 80000)" in lines
    assert any(line.startswith("MODEL_ARGS=(--arch dfp_transformer --causal-prefix ") for line in lines)


def test_a_joint_model_has_two_test_sets_and_several_sources_are_scored_apart():
    arguments = ["--task", "joint", "--out", "out", "--name", "mine", "--average-last", "3", "de+fr", "en", ROW5]
    script = run_one.read("covost2", arguments).script(Gpus(0))
    assert [line for line in stages(script) if line.split()[0] in ("generate", "score", "summary")] == [
        "generate out/joint-de+fr-en/data out/joint-de+fr-en/mine test_asr",
        "score out/joint-de+fr-en/data out/joint-de+fr-en/mine test_asr wer cer",
        "generate out/joint-de+fr-en/data out/joint-de+fr-en/mine test",
        "score out/joint-de+fr-en/data out/joint-de+fr-en/mine test bleu chrf",
        "summary test_asr out/joint-de+fr-en/mine",
        "summary test out/joint-de+fr-en/mine",
    ]
    assert "SCORE_ARGS=(--by src_lang)" in str(script) and "AVERAGE_LAST=3" in str(script)


@pytest.mark.parametrize(
    ("mode", "distilled", "k", "more"),
    [
        ("append", "append", 1, ""),
        ("kbest", "kbest", 5, ""),
        ("sequence_kd", "columns", 1, " --criterion sequence_kd --kd-weight 0.5"),
    ],
)
def test_a_student_learns_from_the_translations_of_an_own_teacher(mode, distilled, k, more):
    script = run_one.read("mustc", ["--out", "o", "--kd", "own", "--kd-mode", mode, "de", ROW5]).script(Gpus(0))
    data = f"o/st-en-de/data-kd-own-{mode}"
    assert stages(script)[1:4] == [
        "train_teacher o/st-en-de/data o/st-en-de/teacher tst-COMMON bleu chrf",
        f"distill o/st-en-de/data {data} {distilled} {k} --teacher o/st-en-de/teacher/average.pt --beam 5",
        f"train {data} o/st-en-de/row5_dfp_conformer-kd-own-{mode}",
    ]
    (training,) = (line for line in str(script).split("\n") if line.startswith("TRAINING_ARGS="))
    assert training.endswith(f" --seed 1{more})") and "\nTEACHER_ARGS=(--arch transformer " in str(script)


def test_modes_are_those_of_distill_and_the_criterion():
    assert set(KD_MODES) - {"sequence_kd"} <= set(MODES) and all(len(Distillation("own", mode).name) > len("kd-own-") for mode in KD_MODES)


def test_teachers_are_known_by_their_names(tmp_path):
    path = tmp_path / "my.texts.tsv"
    path.write_text("")
    names = [Distillation(teacher, "append").name for teacher in ("nllb", "nllb:facebook/small", "nllb:/models/x.y", str(path))]
    assert names == ["kd-nllb-200-3.3B-append", "kd-small-append", "kd-x.y-append", "kd-my.texts-append"]
    script = StageScript()
    assert Distillation(str(path), "interpolate").distill(script, Path("f"), "test", []) == Path("f/data-kd-my.texts-interpolate")
    assert script.lines[-1] == f"distill f/data f/data-kd-my.texts-interpolate interpolate 5 --teacher-output {shlex.quote(str(path))}"


@pytest.mark.parametrize(
    ("corpus", "arguments", "message"),
    [
        ("mustc", [ROW5], "LANGUAGES MODEL_FILE are needed, but 1 arguments were given: /"),
        ("covost2", ["de", ROW5], "SOURCES TARGETS MODEL_FILE are needed, but 2 arguments were given: de /"),
        ("mustc", ["--task", "mt", "de", ROW5], "--task must be asr, st or joint, but is mt"),
        ("mustc", ["de", "none.sh"], "none.sh is no file"),
        ("mustc", ["--training", "none.sh", "de", ROW5], "none.sh is no file"),
        ("mustc", ["--average-last", "all", "de", ROW5], "--average-last must be a number, but is all"),
    ],
)
def test_arguments_that_cannot_be_run_are_said(corpus, arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        run_one.read(corpus, arguments)


@pytest.fixture
def study(tmp_path):
    """The settings of a study of rows 3 and 5 of German into English and of English recognition, with more arguments."""
    (tmp_path / "corpus/en-de/data").mkdir(parents=True)
    (tmp_path / "training.sh").write_text(
        "AVERAGE_LAST=2 PREPARE_ARGS=(--workers 2) TRAINING_ARGS=(--update-freq 4)\nVOCAB_SIZE=([asr]=48 [st]=100 [transcript]=40)\n"
    )

    def run(*arguments):
        common = [str(tmp_path / "corpus"), "--rows", "3,5", "--tasks", "st-de", "--seeds", "7", "--out", str(tmp_path / "out")]
        return study_settings.read([*common, "--training", str(tmp_path / "training.sh"), *arguments])

    return run


def test_a_translation_waits_for_the_recognition_that_it_starts_from(study, tmp_path):
    settings = study()
    (row3, row5), start = settings.plan.experiments("st"), tmp_path / "out/mustc/asr-en-de/row3_decoder_only_18-seed7/average.pt"
    message = f"^mustc/st-en-de/row3_decoder_only_18-seed7: starts from {start}, which is not there: run that experiment first$"
    with pytest.raises(FileNotFoundError, match=message):
        settings.script(row3, Gpus(0))
    start.parent.mkdir(parents=True)
    start.write_text("")
    words = settings.train_args(row3)
    assert words == ["--update-freq", "4", "--seed", "7", "--init-encoder-from", str(start), "--init-decoder-from", str(start)]
    assert "--init-decoder-from" not in study("--dry-run").train_args(row5)
    with pytest.raises(ValueError, match="--update-freq 4 cannot be shared among 3 GPUs"):
        settings.script(row3, Gpus(3, 80))


def test_data_of_a_study_share_the_transcript_vocabulary(study, tmp_path):
    settings = study("--prepare", "--features online", "--hold-out", "speaker=a b", "--hold-out", "age=1")
    asr, st = settings.plan.data
    tail = ["--hold-out", "speaker=a b", "--hold-out", "age=1"]
    first = ["--workers", "2", "--features", "online", "--vocab-size"]
    assert settings.prepare_command(asr)[-11:] == [*first[-4:], "48", "--transcript-vocab-size", "40", *tail]
    assert settings.prepare_command(st)[-12:] == [*first, "100", "--transcript-vocab-from", f"{tmp_path}/out/mustc/asr-en-de/data", *tail]
    assert settings.prepare_command(st, check=True)[-11:] == [*first, "100", "--check", *tail]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stage", "train"], "--stage must be prepare, asr, st or table, but is train"),
        (["--jobs", "0"], "--jobs must be a positive number, but is 0"),
        (["--training", "none.sh"], "--training none.sh is no file"),
        (["--only", "mustc/asr-en-de/row1-seed1"], "--only mustc/asr-en-de/row1-seed1 is none of the experiments that --list names"),
        (["--rows"], "--rows needs a value"),
    ],
)
def test_arguments_of_a_study_that_cannot_be_are_said(arguments, message, study):
    with pytest.raises(ValueError, match=f"^{message}$"):
        study(*arguments)


def test_a_study_needs_a_root():
    with pytest.raises(ValueError, match="^give the root of a corpus$"):
        study_settings.read(["--dry-run"])


def test_errors_of_a_study_begin_with_what_was_typed(tmp_path):
    (tmp_path / "corpus/en-de/data").mkdir(parents=True)
    arguments = [tmp_path / "corpus", "--tasks", "asr", "--stage", "table", "--out", tmp_path / "out"]
    process = subprocess.run(["bash", ROOT / "recipes/study.sh", *arguments], capture_output=True, text=True)
    assert process.returncode == 1 and process.stderr == f"study.sh: error: {tmp_path}/out: no experiment has been scored yet\n"


def test_help_needs_no_environment(tmp_path):
    for recipe, first in (("study.sh", "The whole study"), ("mustc/run.sh", "Train and score one model on MuST-C"), ("covost2/run.sh", "Train and")):
        process = subprocess.run(["bash", ROOT / "recipes" / recipe, "x", "--help"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
        assert process.returncode == 0 and process.stdout.startswith(first) and "set -euo" not in process.stdout and process.stderr == ""


@pytest.mark.parametrize(("task", "splits"), [("asr", [("test", "asr")]), ("st", [("test", "st")]), ("joint", [("test_asr", "asr"), ("test", "st")])])
def test_a_split_is_scored_by_the_metrics_of_its_task(task, splits):
    assert list(TaskData("covost2", task, ("en",), ("de",)).test_splits()) == splits


TORCH = """
class cuda:
    device_count = staticmethod(lambda: len({gib}))
    get_device_properties = staticmethod(lambda number: type("", (), dict(total_memory={gib}[number] * 2**30)))
"""


@pytest.mark.parametrize(("gib", "expected"), [([80, 39.5], Gpus(2, 39.5)), ([], Gpus(0))])
def test_gpus_are_as_large_as_the_smallest(tmp_path, monkeypatch, gib, expected):
    (tmp_path / "torch.py").write_text(TORCH.format(gib=gib))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert visible_gpus() == expected


@pytest.mark.parametrize(("visible", "jobs", "gpus"), [(Gpus(4, 80), 1, Gpus(4, 80)), (Gpus(4, 80), 8, Gpus(1, 80)), (Gpus(0), 8, Gpus(0))])
def test_each_of_several_experiments_at_a_time_has_one_gpu(study, monkeypatch, visible, jobs, gpus):
    monkeypatch.setattr(study_stages, "visible_gpus", lambda: visible)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    trainings = study_stages.Trainings(study("--jobs", str(jobs)))
    assert trainings.gpus == gpus and trainings.devices == list("0123")[: max(1, visible.number)]


def test_experiments_at_a_time_take_the_devices_that_are_free():
    waiting, running, most = threading.Barrier(3, timeout=20), set(), []

    def run(experiment, device):
        running.add(device)
        most.append(len(running))
        if experiment < 3:
            waiting.wait()
        running.discard(device)
        return experiment, device

    results = run_at_once(run, range(7), at_once=3, devices=["0", "1", "2"], stop=list)
    assert [experiment for experiment, _ in results] == list(range(7))
    assert {device for experiment, device in results if experiment < 3} == {"0", "1", "2"} and max(most) == 3
    assert {device for _, device in run_at_once(lambda *both: both, range(9), at_once=4, devices=["0", "5"], stop=list)} <= {"0", "5"}


def test_nothing_more_starts_after_an_interruption():
    started = []

    def run(experiment, device):
        started.append(experiment)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_at_once(run, range(50), at_once=1, devices=["0"], stop=lambda: started.append("stop"))
    assert len(started) < 50 and "stop" in started


def test_the_console_sees_a_line_per_validation_and_the_log_everything(tmp_path):
    lines = [
        b'| INFO | dev | {"epoch": 1, "dev_loss": "5.8", "dev_accuracy": "2.9", "dev_ctc_wer": "99", "dev_num_updates": "20"}\n',
        b'| INFO | train_inner | {"epoch": 1, "loss": "6.0", "num_updates": "30"}\n',
        b"caf\xe9\n",
    ]
    command = f'"{sys.executable}" -m speechllm_plugin.experiments show-validations 3>"{tmp_path}/console"'
    process = subprocess.run(["bash", "-c", command], input=b"".join(lines), stdout=subprocess.PIPE, cwd=ROOT, check=True)
    assert process.stdout == b"".join(lines)
    assert (tmp_path / "console").read_text() == "          dev  update 20  loss 5.8  accuracy 2.9  ctc_wer 99\n"
