"""The stages `report` and `silence` of recipes/pipeline.sh: made once, made again when what they depend on changes."""

import shutil
import time

import pytest
from commands import ROOT, at_once
from digits import bash

from speechllm_plugin.data import manifest

pytestmark = pytest.mark.end_to_end

TEXTS = ["four two", "one", "nine nine three", "seven", "five eight", "zero one"]
HYPOTHESES = {"first": TEXTS, "second": ["four", *TEXTS[1:]], "second2": [*TEXTS[:5], "zero"], "first2": ["", *TEXTS[1:]]}
CLOCK_SECONDS = 0.05  # longer than the clock of a file system stands still
REPORT_ARGS = '--resamples 50 --no-audio --no-checkpoints --speakers "$folder/speakers.tsv"'


@pytest.fixture
def folder(tmp_path):
    """A data folder and the output of fairseq-generate for two systems, with a space in the path."""
    folder = tmp_path / "my experiments"
    (folder / "data").mkdir(parents=True)
    rows = [
        manifest.Utterance(f"u{number}", "a.zip:0:9", 100 + number, text, f"s{number % 2}", text, "en", "en") for number, text in enumerate(TEXTS)
    ]
    for split in ("train", "test"):
        manifest.write(folder / f"data/{split}.tsv", rows)
    (folder / "data/config.yaml").write_text("vocab_filename: target.txt\naudio_root: .\n")
    (folder / "speakers.tsv").write_text("speaker\taccent\ns0\tus\ns1\tother: Greek\n")
    for name, texts in HYPOTHESES.items():
        (folder / name).mkdir()
        lines = [f"T-{row}\t{TEXTS[row]}\nH-{row}\t-0.5\t{text}\nD-{row}\t-0.5\t{text}\n" for row, text in enumerate(texts)]
        (folder / name / "generate-test.txt").write_text("".join(lines))
        (folder / name / ".generate-test.done").write_text("")
    return folder


def stage(folder, command, **environment):
    script = f'set -euo pipefail; folder="{folder}"; source "{ROOT}/recipes/environment.sh"; source "{ROOT}/recipes/pipeline.sh"; {command}'
    return bash("-c", script, cwd=folder.parent, **environment)


def report(folder, systems, arguments=REPORT_ARGS, **environment):
    return stage(folder, f'REPORT_ARGS=({arguments}); report "$folder/out/asr.html" {systems}', **environment)


def test_a_report_is_made_once_and_again_when_its_inputs_change(folder):
    systems = 'dfp="$folder/first" xattn="$folder/second"'
    dry = report(folder, systems, dry_run="1")
    assert dry.returncode == 0 and " report dfp=" in dry.stdout and "accent" not in dry.stdout and not (folder / "out").exists()
    first = report(folder, systems)
    assert first.returncode == 0, first.stderr
    page = (folder / "out/asr.html").read_text()
    assert "other: Greek" in page and "xattn" in page and f"{folder}/out/asr.html" in first.stdout
    changes = {
        "nothing": lambda: None,
        "decoded again": lambda: (folder / "second/.generate-test.done").write_text(""),
        "other speakers": lambda: (folder / "speakers.tsv").write_text("speaker\taccent\ns0\tus\ns1\tscotland\n"),
    }
    for name, change in changes.items():
        time.sleep(CLOCK_SECONDS)
        change()
        again = report(folder, systems)
        assert again.returncode == 0, again.stderr
        assert ("(done before)" in again.stdout) == (name == "nothing"), name
    assert "other: Greek" not in (folder / "out/asr.html").read_text()
    more = report(folder, systems, f"{REPORT_ARGS} --seed 3")
    assert more.returncode == 0 and "(done before)" not in more.stdout


def test_seeds_of_a_system_are_inputs_too(folder):
    systems = 'dfp="$folder/first,$folder/first2" xattn="$folder/second,$folder/second2"'
    process = stage(folder, f"report_inputs {systems} --native no/such.yaml --split test")
    named = process.stdout.removesuffix("\0").split("\0")
    assert named == [f"{folder}/{name}/.generate-test.done" for name in ("first", "first2", "second", "second2")]
    made = report(folder, systems)
    assert made.returncode == 0, made.stderr
    time.sleep(CLOCK_SECONDS)
    (folder / "second2/.generate-test.done").write_text("")
    assert "(done before)" not in report(folder, systems, dry_run="1").stdout


def test_a_line_feed_and_a_blank_in_a_name_stay_in_one_input(folder):
    run = folder / "two\nlines and a blank"
    shutil.copytree(folder / "first", run)
    process = stage(folder, 'report_inputs dfp="$folder/two"$\'\\n\'"lines and a blank,$folder/second"')
    assert process.stdout.removesuffix("\0").split("\0") == [f"{run}/.generate-test.done", f"{folder}/second/.generate-test.done"]


def test_a_report_that_fails_says_why_and_leaves_no_page(folder):
    (folder / "second/generate-test.txt").write_text("D-0\t-0.5\tfour two\n")
    process = report(folder, 'dfp="$folder/first" xattn="$folder/second"')
    assert process.returncode != 0 and "rows" in process.stderr and "pipeline: error: report: failed" in process.stderr
    assert not (folder / "out/asr.html").exists() and not (folder / "out/.asr.done").exists()


def test_silence_is_made_once_for_a_data_folder(folder):
    first, other = at_once(
        lambda: stage(folder, 'SILENCE_ARGS=(--num 3); silence "$folder/data"; silence "$folder/data"'),
        lambda: stage(folder, 'silence "$folder/data"', dry_run="1"),
    )
    assert first.returncode == other.returncode == 0, first.stderr + other.stderr
    assert first.stdout.count("(done before)") == 1 and len(manifest.read(folder / "data/silence.tsv")) == 3
    assert "silence --data" in other.stdout
    options = stage(folder, 'SILENCE_ARGS=(--num 4); silence "$folder/data"')
    assert options.returncode != 0 and (options.stdout + options.stderr).count("silence.tsv: was made with other options") == 1
