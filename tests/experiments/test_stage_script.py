"""Stages of recipes: an error is said once, one process makes a product, and an interruption ends all that a script started."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
from commands import ROOT

from speechllm_plugin.experiments.stage_script import StageScript

PROGRAM = """
import sys
from pathlib import Path
from speechllm_plugin.experiments import stage_script
from speechllm_plugin.files import interruption
try:
    with interruption.signals_caught():
        script = stage_script.StageScript()
        script.call("run_stage", "train", "product", "log", "train.done", "options", "--", "bash", "-c", sys.argv[1])
        script.run()
except KeyboardInterrupt as error:
    interruption.end("study.sh", error)
"""


def run_stage(folder, command, shown=""):
    script = StageScript()
    script.call("run_stage", "train", "product", "log", "train.done", "options", "--", *([shown] if shown else []), "bash", "-c", command)
    return script.run(cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("shown", ["", "show_all", "show_results"])
def test_an_error_is_said_once_with_the_log(tmp_path, shown):
    process = run_stage(tmp_path, "echo before; echo 'speechllm: error: x.tsv: is empty' >&2; exit 1", shown)
    said = process.stdout + process.stderr
    assert process.returncode == 1 and said.count("is empty") == 1
    assert (tmp_path / "log").read_text().count("\nspeechllm: error: x.tsv: is empty\n") == 1
    assert process.stderr.endswith("pipeline: error: train: failed (see above; log: log); the same command goes on from here\n")
    assert sorted(os.listdir(tmp_path)) == ["log"]


def test_a_traceback_is_shown(tmp_path):
    process = run_stage(tmp_path, "for i in {1..40}; do echo line $i; done; exit 1")
    assert "line 26\n" in process.stderr and "line 25\n" not in process.stderr


@pytest.fixture
def running(tmp_path):
    """A program with a script whose stage waits, and the number of the process that waits."""
    command = "trap 'echo cleaned > cleaned; exit' TERM; echo $$ > pid; sleep 600 & wait"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a shell's background jobs ignore, and so all that they start
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    waiting = int((tmp_path / "pid").read_text())
    yield process, waiting
    process.kill()
    with contextlib.suppress(ProcessLookupError):
        end_group(waiting)  # else the pipe stays open
    process.communicate()


def end_group(pid):
    os.killpg(os.getpgid(pid), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_ends_what_runs_after_it_has_cleaned_up(tmp_path, running, number):
    process, waiting = running
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -number and errors.splitlines()[-1] == f"study.sh: stopped by {number.name}"
    with pytest.raises(ProcessLookupError):
        os.kill(waiting, 0)
    assert sorted(os.listdir(tmp_path)) == ["cleaned", "log", "pid"]


def test_a_second_process_does_not_make_the_same_product_even_if_the_first_was_killed_alone(tmp_path, running):
    process, waiting = running
    for kill in (lambda: None, process.kill):
        kill()
        second = run_stage(tmp_path, "echo second > product")
        assert second.returncode == 1 and not (tmp_path / "product").exists()
        assert "pipeline: error: product: is being made by process " in second.stderr
    end_group(waiting)
    deadline = time.monotonic() + 60
    while (process := run_stage(tmp_path, "echo second > product")).returncode and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.returncode == 0 and (tmp_path / "product").exists() and not (tmp_path / "train.lock").exists()
