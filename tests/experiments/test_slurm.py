"""A study submitted by submitit: what is asked of sbatch, and that a job runs its part of the study."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from speechllm_plugin.experiments import slurm, study_stages

submitit = pytest.importorskip("submitit")

ROOT = Path(__file__).resolve().parents[2]
# Keeps what is submitted: jobs are run by the test, as SLURM would run them.
SBATCH = """#!/usr/bin/env bash
number=$(($(ls "$SUBMITTED" | wc -l) + 1))
cp "$1" "$SUBMITTED/$number"
echo "Submitted batch job $number"
"""


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """A study of two rows for recognition and translation; sbatch keeps what it is given."""
    for name, text in (("sbatch", SBATCH), ("srun", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "submitted").mkdir()
    (tmp_path / "corpus/en-de/data").mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SUBMITTED", str(tmp_path / "submitted"))
    return [str(tmp_path / "corpus"), "--rows", "3,5", "--tasks", "st-de", "--out", str(tmp_path / "out")]


def asked(tmp_path, number):
    """The options of a submitted job."""
    text = (tmp_path / f"submitted/{number}").read_text()
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", text, re.MULTILINE))


def test_jobs_wait_for_one_another_and_ask_for_the_resources_of_job_sbatch(arguments, tmp_path, capsys):
    study_stages.main(*arguments, "--slurm", "partition=gpu --mem=32G time=1-00:30:00")
    assert capsys.readouterr().out.splitlines() == ["prepare: job 1", "asr: job 2", "st: job 3", "table: job 4"]
    jobs = [asked(tmp_path, number) for number in (1, 2, 3, 4)]
    assert [job.get("dependency") for job in jobs] == [None, "afterok:1", "afterany:2", "afterany:3"]
    assert [job["job-name"] for job in jobs] == ["study-prepare", "study-asr", "study-st", "study-table"]
    assert [job.get("array") for job in jobs] == [None, "0-1%2", "0-1%2", None]
    for job in jobs:
        assert (job["partition"], job["mem"], job["time"], job["gpus-per-task"], job["cpus-per-task"]) == ("gpu", "32G", "1470", "1", "8")
        assert shlex.split(job["output"])[0].startswith(f"{tmp_path}/out/slurm/")


def run_task(tmp_path, job, task):
    """What submitit runs on a node for a task of an array."""
    environment = {"SLURM_JOB_ID": "77", "SLURM_ARRAY_JOB_ID": str(job), "SLURM_ARRAY_TASK_ID": str(task), "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    environment |= {
        "SLURM_NTASKS": "1",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_JOB_NODELIST": "here",
        "SLURM_NODEID": "0",
        "SUBMITIT_EXECUTOR": "slurm",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "submitit.core._submit", tmp_path / "out/slurm"]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.end_to_end
def test_a_job_runs_its_part_of_the_study_and_says_how_it_ended(arguments, tmp_path):
    study_stages.main(*arguments, "--slurm", "")
    process = run_task(tmp_path, job=3, task=1)
    start = tmp_path / "out/mustc/asr-en-de/row5_dfp_conformer-seed1/average.pt"
    message = f"mustc/st-en-de/row5_dfp_conformer-seed1: starts from {start}, which is not there: run that experiment first"
    assert f"pipeline: error: {message}\n" in process.stdout + process.stderr
    job = submitit.SlurmJob(tmp_path / "out/slurm", "3_1")
    assert job.paths.result_pickle.exists() and process.returncode != 0


def test_a_job_that_is_preempted_is_queued_again_as_it_was():
    again = slurm.StudyPart(["corpus", "--only", "mustc/asr-en-de/row1-seed1"]).checkpoint()
    assert isinstance(again, submitit.helpers.DelayedSubmission)
    assert again.function.arguments == ["corpus", "--only", "mustc/asr-en-de/row1-seed1"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--slurm", "partition"], "--slurm must be options of sbatch as NAME=VALUE, as in partition=gpu, but has partition"),
        (["--slurm", "time=long"], "--slurm: time must be minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS:MINUTES:SECONDS, but is long"),
        (["--slurm", "", "--dry-run"], "--slurm submits the whole study: it goes without --stage, --only, --list and --dry-run"),
    ],
)
def test_what_cannot_be_submitted_is_said(more, message, arguments, capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        study_stages.main(*arguments, *more)
    assert end.value.code == 2 and f"study.sh: error: {message}" in capsys.readouterr().err
    assert not list((tmp_path / "submitted").iterdir())


@pytest.mark.parametrize(("time", "minutes"), [("2880", 2880), ("48:00:00", 2880), ("2-00:00:00", 2880), ("90:30", 90), ("1-01:10:00", 1510)])
def test_times_are_slurms(time, minutes):
    assert slurm.minutes_of(time) == minutes
