"""recipes/side_by_side.sh with trainings that only write when they begin and end: rounds of one size, the stop, and what a second run does."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import ROOT

SCRIPT = r"""
set -euo pipefail
source "$1/recipes/pipeline.sh"
source "$1/recipes/side_by_side.sh"
cd "$2"
uneven=${UNEVEN:-} folders=(a-1 b-1 a-2 b-2) jobs=1 minutes= stop_after=0
train_one() {
  [[ ! -f ${folders[$1]}/.train.done ]] || return 0
  mkdir -p "${folders[$1]}" && echo "begin ${folders[$1]}" >>events
  [[ ${folders[$1]} != "${BROKEN:-}" ]] || return 1
  sleep "${TRAINS:-0.3}" && touch "${folders[$1]}/.train.done" && echo "end ${folders[$1]}" >>events
}
decode_one() { echo "decode ${folders[$1]}" >>events; }
begin "${STOP:-0}"
train_in_rounds "$(at_once "$3" 2 2)" 0
decode_side_by_side "$3"
end_with_failures
"""


def side_by_side(folder, jobs, **environment):
    environment = {"PATH": "/usr/bin:/bin"} | {name.upper(): str(value) for name, value in environment.items()}
    return subprocess.run(["bash", "-c", SCRIPT, "bash", ROOT, folder, str(jobs)], env=environment, capture_output=True, text=True, timeout=30)


def events(folder):
    return [line.split() for line in (folder / "events").read_text().splitlines()]


@pytest.mark.parametrize(
    ("jobs", "models", "times", "size"), [(1, 6, 3, 1), (4, 6, 3, 3), (12, 6, 3, 6), (18, 6, 3, 18), (40, 6, 3, 18), (15, 3, 10, 15), (2, 1, 3, 1)]
)
def test_all_rounds_have_the_same_size_and_as_much_of_each_model(jobs, models, times, size):
    script = 'source "$1/recipes/pipeline.sh"; source "$1/recipes/side_by_side.sh"; at_once "$2" "$3" "$4"'
    process = subprocess.run(["bash", "-c", script, "bash", ROOT, *map(str, (jobs, models, times))], capture_output=True, text=True)
    assert process.stdout.strip() == str(size), process.stderr


def test_a_round_begins_when_the_last_one_has_ended(tmp_path):
    assert side_by_side(tmp_path, jobs=3, trains=1).returncode == 0  # both begin before one ends, on a busy machine too
    happened = events(tmp_path)
    assert [[word for word, _ in happened[at : at + 4]] for at in (0, 4)] == [["begin", "begin", "end", "end"]] * 2
    assert [{name for _, name in happened[at : at + 2]} for at in (0, 4)] == [{"a-1", "b-1"}, {"a-2", "b-2"}]
    assert sorted(happened[8:]) == [["decode", name] for name in ("a-1", "a-2", "b-1", "b-2")]


def test_no_round_begins_that_does_not_fit_and_what_is_trained_is_decoded(tmp_path):
    (tmp_path / "a-1").mkdir()
    (tmp_path / "a-1/.train.done").touch()
    (tmp_path / "b-1").mkdir()
    (tmp_path / "b-1/.train.done").touch()
    process = side_by_side(tmp_path, jobs=2, stop=30)
    assert process.returncode == 75 and "the next round does not fit before --stop-after 30" in process.stderr
    assert sorted(events(tmp_path)) == [["decode", "a-1"], ["decode", "b-1"]]


def test_what_still_runs_at_the_stop_is_stopped(tmp_path):
    script = SCRIPT.replace('train_in_rounds "$(', 'seconds_to_start=0 && train_in_rounds "$(')
    start = time.monotonic()
    process = subprocess.run(
        ["bash", "-c", script, "bash", ROOT, tmp_path, "4"],
        env={"PATH": "/usr/bin:/bin", "STOP": "2", "TRAINS": "29"},
        capture_output=True,
        text=True,
        timeout=25,
    )
    assert process.returncode == 75 and "the same command goes on from here" in process.stderr and time.monotonic() - start < 20
    assert {word for word, _ in events(tmp_path)} == {"begin"}


def test_what_failed_is_not_trained_alone_unless_asked(tmp_path):
    process = side_by_side(tmp_path, jobs=2, broken="b-1")
    assert process.returncode == 1 and "failed (above): b-1" in process.stderr
    assert ["decode", "a-1"] in events(tmp_path) and ["decode", "b-1"] not in events(tmp_path)
    process = side_by_side(tmp_path, jobs=2)
    assert process.returncode == 1 and "b-1: not begun, but 1 others of its round of 2 are trained" in process.stderr
    assert side_by_side(tmp_path, jobs=2, uneven="yes").returncode == 0
    assert (tmp_path / "b-1/.train.done").is_file()


def test_a_training_that_cannot_go_on_leaves_no_checkpoints_behind(tmp_path):
    for name, file in (("a-1", "checkpoint_1_200.pt"), ("b-1", "checkpoint_last.pt")):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        (tmp_path / name / "checkpoints" / file).touch()
    process = side_by_side(tmp_path, jobs=1)
    assert process.returncode == 0 and "a-1  (was cut off, and begins again)" in process.stdout
    assert not (tmp_path / "a-1/checkpoints").exists() and (tmp_path / "b-1/checkpoints/checkpoint_last.pt").exists()


COMMA = 'LC_NUMERIC\ndecimal_point ","\nthousands_sep ""\ngrouping -1\nEND LC_NUMERIC\n'


@pytest.mark.skipif(not (shutil.which("localedef") and Path("/usr/share/i18n/charmaps").is_dir()), reason="no locale can be made")
def test_minutes_are_written_with_a_point_where_others_write_a_comma(tmp_path):
    (tmp_path / "source").write_text(COMMA)
    subprocess.run(["localedef", "-c", "-i", tmp_path / "source", "-f", "UTF-8", tmp_path / "comma"], capture_output=True)
    script = """
    [[ $(printf %.1f 1,5) == 1,5 ]] || exit 3
    source "$1/recipes/pipeline.sh"; source "$1/recipes/side_by_side.sh"
    minutes=2.5 jobs=1 stop_after=0 gpu= common=() training=$1/recipes/training/fillets.sh
    check_numbers && set_model_args "$1/recipes/models/reduced_row5_dfp_conformer.sh" && echo "$round_seconds ${TRAINING_ARGS[*]}"
    """
    environment = {
        "LC_NUMERIC": "comma",
        "LOCPATH": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    process = subprocess.run(["bash", "-c", script, "bash", ROOT], env=environment, capture_output=True, text=True)
    assert process.stdout == "150 --max-update 1000000 --stop-time-hours 0.04167\n", process.stderr


def in_shell(script, *arguments, **environment):
    script = f'source "$1/recipes/pipeline.sh"; source "$1/recipes/side_by_side.sh"; shift; {script}'
    process = subprocess.run(
        ["bash", "-c", script, "bash", ROOT, *arguments], env={"PATH": "/usr/bin:/bin"} | environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.split()


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("0,1", "0 1 0 1 1 0 1 0 0 1 0 1"), ("3", "- - - - - - - - - - - -"), ("", "- - - - - - - - - - - -"), ("4,5,6", "4 5 6 4 5 6 4 5 6 4 5 6")],
)
def test_gpus_have_as_many_trainings_each_and_of_each_model_in_turn(visible, expected):
    script = """
    models=(a b c d) folders=(a-1 b-1 c-1 d-1 a-2 b-2 c-2 d-2 a-3 b-3 c-3 d-3)
    mapfile -t gpus < <(visible_gpus)
    say() { [[ ${#gpus[@]} -lt 2 ]] && echo - || echo "$CUDA_VISIBLE_DEVICES"; }
    for number in "${!folders[@]}"; do start say $number; wait; done"""
    assert in_shell(script, CUDA_VISIBLE_DEVICES=visible) == expected.split()


def test_checkpoints_of_the_last_fifth_are_counted(tmp_path):
    for updates in (100, 800, 801, 900, 1000):
        (tmp_path / f"checkpoint_3_{updates}.pt").touch()
    (tmp_path / "checkpoint_best.pt").touch()
    assert in_shell('num_at_end "$1"; num_at_end "$1/none"', str(tmp_path)) == ["3", "0"]
