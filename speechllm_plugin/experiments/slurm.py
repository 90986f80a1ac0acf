"""The study submitted to SLURM by submitit: a job prepares, an array of jobs trains each wave, a job writes the table.

recipes/slurm/submit.sh does the same with sbatch alone. What submitit adds: a job that is preempted or runs out of time is queued again by
itself, and each job keeps its log and how it ended in OUT/slurm.
"""

import importlib.util
import re
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING

from speechllm_plugin.experiments.stage_script import RECIPES
from speechllm_plugin.experiments.study_plan import WAVES
from speechllm_plugin.experiments.study_settings import StudySettings

if TYPE_CHECKING:
    import submitit

_RESOURCE = re.compile(r"^#SBATCH --([\w-]+)=(\S+)$", re.MULTILINE)
_TIME = re.compile(r"(?:(?:(\d+)-)?(\d+):(?=\d+:))?(\d+)(?::\d+)?")
SET_BY_SUBMITIT = {"output", "nodes"}


class StudyPart:
    """A call of study.sh in a job; called again, it goes on where it was."""

    def __init__(self, arguments: Sequence[str]):
        self.arguments = list(arguments)

    def __call__(self) -> None:
        subprocess.run(["bash", str(RECIPES / "study.sh"), *self.arguments], check=True)

    def checkpoint(self) -> "submitit.helpers.DelayedSubmission":
        """What submitit queues again after a preemption or at the end of the time."""
        import submitit

        return submitit.helpers.DelayedSubmission(self)


def check(parameters: str) -> None:
    """Raise ValueError where submitit is not installed, or the parameters are none."""
    if importlib.util.find_spec("submitit") is None:
        raise ValueError("--slurm needs submitit: install it (pip install submitit), or use recipes/slurm/submit.sh, which needs sbatch only")
    resources(parameters)


def resources(parameters: str) -> dict[str, str]:
    """What a job asks SLURM for: the resources of recipes/slurm/job.sbatch, and `NAME=VALUE ...` that replace or add to them.

    Raises:
        ValueError: a word has no value, or the time is none.
    """
    asked = dict(_RESOURCE.findall((RECIPES / "slurm/job.sbatch").read_text(encoding="utf-8")))
    for word in parameters.split():
        name, equals, value = word.removeprefix("--").partition("=")
        if not (equals and value):
            raise ValueError(f"--slurm must be options of sbatch as NAME=VALUE, as in partition=gpu, but has {word}")
        asked[name] = value
    minutes_of(asked["time"])
    return {name: value for name, value in asked.items() if name not in SET_BY_SUBMITIT}


def minutes_of(time: str) -> int:
    """The minutes of a time as SLURM writes it: 2880, 48:00:00 or 2-00:00:00."""
    match = _TIME.fullmatch(time)
    if match is None:
        raise ValueError(f"--slurm: time must be minutes, HOURS:MINUTES:SECONDS or DAYS-HOURS:MINUTES:SECONDS, but is {time}")
    days, hours, minutes = (int(number or 0) for number in match.groups())
    return (days * 24 + hours) * 60 + minutes


def submit(arguments: Sequence[str], study: StudySettings) -> list[tuple[str, str]]:
    """The name and the id of each job, in the order in which they wait for one another; arguments are those of study.sh, without --slurm."""
    import submitit

    asked = resources(study.slurm or "")
    executor = submitit.SlurmExecutor(folder=study.out / "slurm")
    executor.update_parameters(time=minutes_of(asked.pop("time")), stderr_to_stdout=True)
    submitted: list[tuple[str, str]] = []

    def add(name: str, condition: str, parts: Sequence[Sequence[str]]) -> None:
        dependency = {"dependency": f"{condition}:{submitted[-1][1]}"} if submitted else {}
        executor.update_parameters(job_name=f"study-{name}", additional_parameters={**asked, **dependency})
        jobs = executor.submit_array([StudyPart([*arguments, *part]) for part in parts])
        submitted.append((name, jobs[0].job_id.partition("_")[0]))

    add("prepare", "", [["--stage", "prepare"]])
    for wave in WAVES:
        parts = [["--only", experiment.name] for experiment in study.plan.experiments(wave)]
        if parts:
            # One experiment that fails must not stop the others: afterany, and each says itself what it lacks.
            add(wave, "afterok" if submitted[-1][0] == "prepare" else "afterany", parts)
    add("table", "afterany", [["--stage", "table"]])
    return submitted


def main(arguments: Sequence[str], study: StudySettings) -> None:
    """Submit the jobs, and print their ids."""
    for name, job in submit(arguments, study):
        print(f"{name}: job {job}")
