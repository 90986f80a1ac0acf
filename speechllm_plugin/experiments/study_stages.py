"""The study of recipes/study.sh: its stages in the order of their dependencies. What was finished before is not done again."""

import os
import re
import subprocess
import sys
from typing import Any

from speechllm_plugin.experiments import command_line, slurm, stage_script, study_settings, study_table
from speechllm_plugin.experiments.expected_work import Work
from speechllm_plugin.experiments.scheduling import run_at_once
from speechllm_plugin.experiments.stage_script import StageScript, visible_gpus
from speechllm_plugin.experiments.study_plan import WAVES, StudyExperiment
from speechllm_plugin.experiments.study_settings import StudySettings

FRAMES_PER_HOUR = 360_000
_TRAINING_HOURS = re.compile(r"^\s*train\s+\S+\s+([\d.]+)", re.MULTILINE)
LAST_LINES = 3  # of the log of an experiment that failed


def check_inputs(study: StudySettings) -> None:
    """Look for all that is needed before anything is written or trained: libraries of the metrics, texts, sound files.

    Raises:
        ValueError: a metric cannot be computed here. A corpus that lacks something ends the study with the message of `speechllm prepare`.
    """
    for data in study.plan.data:
        data.check_metrics()
        folder = study.data_folder(data)
        if (folder / ".prepare.done").exists():
            continue
        process = subprocess.run(study.prepare_command(data, check=True), stdout=subprocess.PIPE, text=True)
        if process.returncode:
            sys.exit(1)
        print(f"check     {folder}", *(f"          {line}" for line in process.stdout.splitlines() if line), sep="\n", flush=True)
        hours = _TRAINING_HOURS.search(process.stdout)
        if hours:
            study.frames_of[data] = int(float(hours[1]) * FRAMES_PER_HOUR)


def prepare_all(study: StudySettings) -> None:
    script = StageScript(study.dry_run)
    for data in study.plan.data:
        folder = study.data_folder(data)
        script.call("prepare", folder, *study.prepare_command(data))
        if study.with_silence:
            script.set("SILENCE_ARGS", study.training[data.corpus].silence_args)
            script.call("silence", folder)
    if script.run().returncode:
        sys.exit(1)


class Trainings:
    """The experiments of a study, run one after the other or several at a time.

    gpus: those of one experiment.
    devices: names of the GPUs that experiments at a time are spread over.
    works: what the trainings of a dry run take at most.
    """

    def __init__(self, study: StudySettings):
        visible = visible_gpus()
        self.study = study
        self.works: list[Work] = []
        self.gpus = visible if study.jobs == 1 else visible._replace(number=min(1, visible.number))
        self.devices = (os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(max(1, visible.number))))).split(",")

    def run(self, experiment: StudyExperiment, **settings: Any) -> bool:
        """Whether an experiment ends well; settings as of subprocess.run."""
        try:
            script = self.study.script(experiment, self.gpus)
        except (ValueError, OSError) as error:
            print(f"pipeline: error: {error}", file=sys.stderr)
            return False
        if self.study.dry_run:
            process = script.run(stdout=subprocess.PIPE, text=True)
            print(process.stdout, end="", flush=True)
            work = self.study.work(experiment)
            self.works += [work] if work and str(work) in process.stdout else []  # what was trained before is not trained again
            return process.returncode == 0
        return script.run(**settings).returncode == 0

    def run_with_log(self, experiment: StudyExperiment, device: str) -> bool:
        """Whether an experiment ends well on one GPU; what it says goes to its study.log."""
        out = self.study.out / experiment.name
        out.mkdir(parents=True, exist_ok=True)
        print(f"started   {experiment.name}", flush=True)
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "CUDA_VISIBLE_DEVICES": device}
        with open(out / "study.log", "w", encoding="utf-8") as log:
            ended_well = self.run(experiment, stdout=log, stderr=log, env=environment)
        if ended_well:
            print(f"ended     {experiment.name}", flush=True)
        else:
            print(*(out / "study.log").read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:], sep="\n", file=sys.stderr)
        return ended_well

    def run_wave(self, wave: str) -> list[str]:
        """Run the experiments of a wave; one that fails does not stop the others. The names of those that failed."""
        experiments = self.study.plan.experiments(wave)
        if self.study.jobs > 1 and not self.study.dry_run:
            ended_well = run_at_once(self.run_with_log, experiments, self.study.jobs, self.devices, stage_script.stop_all)
        else:
            ended_well = []
            for experiment in experiments:
                print(f"== {experiment.name}", flush=True)
                ended_well.append(self.run(experiment))
        return [experiment.name for experiment, well in zip(experiments, ended_well) if not well]


def write_table(study: StudySettings, works: list[Work]) -> None:
    if study.dry_run:
        print(f"table     {study.out / 'table.md'}")
        updates, frames = sum(work.updates for work in works), sum(work.frames for work in works)
        print(f"In all: {len(works)} trainings, at most {updates:,} updates, {frames:,} frames.")
    else:
        models = [path.name.removesuffix(".sh") for path in study.plan.model_files]
        study_table.write(study_table.Study(study.out, models, study.plan.seeds, study.own_settings))


def run(study: StudySettings) -> None:
    if study.only:
        (experiment,) = (each for each in study.plan.experiments() if each.name == study.only)
        sys.exit(0 if Trainings(study).run(experiment) else 1)
    if study.stage != "table":
        check_inputs(study)
    if study.stage in ("all", "prepare"):
        prepare_all(study)
    failed: list[str] = []
    works: list[Work] = []
    if study.stage in ("all", *WAVES):
        trainings = Trainings(study)
        failed = [name for wave in WAVES if study.stage in ("all", wave) for name in trainings.run_wave(wave)]
        works = trainings.works
    if study.stage in ("all", "table"):
        write_table(study, works)
    if failed:
        raise ValueError(f"{len(failed)} experiments did not end well: {' '.join(failed)}; the same command goes on with them")


def main(*arguments: str) -> None:
    with command_line.usage_errors("study.sh"):
        study = study_settings.read(list(arguments))
        if study.slurm is not None:
            slurm.check(study.slurm)
    if study.slurm is not None:
        slurm.main(command_line.without(arguments, "--slurm"), study)
    elif study.only_list:
        print(*(f"{experiment.name}\n" for experiment in study.plan.experiments(study.stage)), sep="", end="")
    else:
        run(study)
