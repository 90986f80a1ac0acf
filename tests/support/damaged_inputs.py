"""Every damaged input of the table, what came of it, and the counts:

python3 tests/support/damaged_inputs.py        # the counts, and each case that is not as it should be
python3 tests/support/damaged_inputs.py -v     # a line for each case
python3 tests/support/damaged_inputs.py SCORE  # cases whose name or command has this word
"""

import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import damaged_world
import one_process

CLEAN, RIGHT, TRACEBACK, SILENT = OUTCOMES = ("clean", "accepted rightly", "traceback", "silent")
MOST_CHARACTERS = 2500  # of a message
LEFT_OVERS = ("*.part", "*.tmp", "**/.*.tmp", "**/*.part", "**/crash*.pt", "ran")


class Case(NamedTuple):
    """One damaged input.

    name: what is wrong.
    damage: changes a folder that is like damaged_world.build's.
    command: begins with a key of damaged_world.SHORT, or is given whole.
    refused: what the one line of the error says, or, where it ends a list of rows, what the list says; None where the command is to accept the input.
    accepted: of a command that ended well, (what it printed and wrote) -> whether the value is right.
    status: of the refusal.
    """

    name: str
    damage: Callable[[Path], None]
    command: str
    refused: str | None = None
    accepted: Callable[[one_process.Finished, Path], Any] | None = None
    status: int = 1


class Verdict(NamedTuple):
    """outcome: one of OUTCOMES. why: what is not as it should be; empty where all is."""

    case: Case
    outcome: str
    why: str
    last_line: str


def judge(case, sound):
    """Run a case in a copy of the sound world, at the place where that was made: its folders remember it."""
    world = sound.with_name("world")
    shutil.copytree(sound, world)
    try:
        case.damage(world)
        first, _, rest = case.command.partition(" ")
        done = one_process.run(shlex.split(f"{damaged_world.SHORT.get(first, first)} {rest}"), world)
        left = sorted(path.name for pattern in LEFT_OVERS for path in world.glob(pattern))
        return verdict(case, done, damaged_world.SHORT.get(first, first).split()[0], world, left)
    finally:
        shutil.rmtree(world)


def verdict(case, done, program, world, left):
    def because(outcome, why=""):
        return Verdict(case, outcome, why, done.last_line)

    if done.traceback:
        return because(TRACEBACK, done.traceback[-1500:])
    if "Traceback (most" in done.err:
        return because(TRACEBACK, done.err[-1500:])
    if case.refused is None:
        if done.status:
            return because(SILENT, f"is to be accepted, but: {done.last_line}")
        return because(RIGHT) if case.accepted(done, world) else because(SILENT, f"another value: {done.out[-500:]} {done.err[-500:]}")
    if done.status == 0:
        return because(SILENT, f"is to be refused with {case.refused!r}, but ended well: {done.out[-300:]}")
    begin = f"{program}: error: " if case.status == 1 else ": error: "
    if done.status != case.status or begin not in done.last_line:
        return because(SILENT, f"status {done.status}, last line {done.last_line!r}")
    said = done.err if "(listed above)" in done.last_line else done.last_line
    if case.refused not in said or len(done.last_line) > MOST_CHARACTERS or not done.last_line.isprintable():
        return because(SILENT, f"is to say {case.refused!r}, but says {done.last_line[:700]!r}")
    if left:
        return because(SILENT, f"left behind: {left}")
    return because(CLEAN)


def all_cases():
    import damaged_arguments
    import damaged_checkpoints
    import damaged_corpora
    import damaged_data_folders
    import damaged_games_and_streams
    import damaged_outputs
    import damaged_recordings

    parts = (
        damaged_arguments,
        damaged_checkpoints,
        damaged_corpora,
        damaged_data_folders,
        damaged_outputs,
        damaged_recordings,
        damaged_games_and_streams,
    )
    return [case for part in parts for case in part.CASES]


def judge_all(folder, cases):
    """A Verdict for each case, in order; the folder gets the sound world, and one after the other its damaged copies."""
    sound = Path(folder) / "sound"
    damaged_world.build(sound.with_name("world")).rename(sound)
    for case in cases:
        yield judge(case, sound)


def counts(verdicts):
    """Lines of a table: how often each outcome came."""
    outcomes = [verdict.outcome for verdict in verdicts]
    return [f"{len(outcomes)} damaged inputs", *(f"{outcome:18}{outcomes.count(outcome):5}" for outcome in OUTCOMES)]


def main(arguments):
    words = [word for word in arguments[1:] if word != "-v"]
    cases = [case for case in all_cases() if not words or any(word in f"{case.name} {case.command}" for word in words)]
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for verdict in judge_all(folder, cases):
            verdicts.append(verdict)
            if verdict.why or "-v" in arguments:
                print(f"{verdict.outcome:18}{verdict.case.name}: {verdict.why or verdict.last_line}", flush=True)
    print("\n".join(counts(verdicts)))
    return any(verdict.why for verdict in verdicts)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main(sys.argv))
