"""Stages of recipes/pipeline.sh in the order in which an experiment runs them, as a shell script."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from speechllm_plugin.experiments.training_file import Gpus

# When all its processes are told to stop, the shell waits for the others, which have to clean up.
TRAP = """trap 'rm -f "${held_lock:-}"; exit 143' TERM"""
running: set[subprocess.Popen] = set()
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


class StageScript:
    """Lines of bash: the arrays that the stages read, and their calls. A stage that fails ends the script with its message."""

    def __init__(self, dry_run: bool | None = None):
        """dry_run: whether the stages only print their commands; None where the environment says it."""
        self.lines = [] if dry_run is None else [f"dry_run={'1' if dry_run else ''}"]
        self.lines += [f"source {shlex.quote(str(RECIPES / name))}" for name in ("pipeline.sh", "distillation.sh")]

    def set(self, name: str, value: int | list[str]) -> None:
        self.lines.append(f"{name}={value}" if isinstance(value, int) else f"{name}=({shlex.join(value)})")

    def call(self, stage: str, *words: str | Path | int) -> None:
        self.lines.append(shlex.join([stage, *map(str, words)]))

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def run(self, **settings: Any) -> subprocess.CompletedProcess:
        """The ended process; settings as of subprocess.Popen.

        An interruption of this process ends all that the script has started, before it is raised.
        """
        sys.stdout.flush()
        command = ["bash", "-euo", "pipefail", "-c", f"{TRAP}\n{self}"]
        process = subprocess.Popen(command, process_group=0, stdin=subprocess.DEVNULL, **settings)
        running.add(process)
        try:
            output, errors = process.communicate()
        except BaseException:
            stop(process)
            raise
        finally:
            running.discard(process)
        return subprocess.CompletedProcess(command, process.returncode, output, errors)


def stop(process: subprocess.Popen) -> None:
    """End a script and what it started: they are a group of processes of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def stop_all() -> None:
    """End the scripts that run in other threads."""
    for process in list(running):
        stop(process)


def visible_gpus() -> Gpus:
    """The GPUs that torch sees. It is asked in a process of its own: loading it takes seconds and memory that this one does not need."""
    sizes = "torch.cuda.get_device_properties(number).total_memory / 2**30 for number in range(torch.cuda.device_count())"
    output = subprocess.run([sys.executable, "-c", f"import torch; print(*({sizes}))"], stdout=subprocess.PIPE, text=True, check=True).stdout
    gib = [float(word) for word in output.split()]
    return Gpus(len(gib), min(gib, default=0.0))
