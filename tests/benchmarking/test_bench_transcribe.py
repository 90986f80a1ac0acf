"""`speechllm bench transcribe` on the shipped model and recordings."""

import json
from pathlib import Path

import pytest

from speechllm_plugin.benchmarking.transcription_benchmark import STAGES
from speechllm_plugin.commands.cli import main

DIGITS = Path(__file__).resolve().parents[2] / "examples/digits"


def test_every_stage_of_every_beam_is_timed(tmp_path, capsys):
    arguments = [DIGITS / "dfp", DIGITS / "recordings", "--beam", 1, 3, "--repeats", 1, "--device", "cpu", "--json", tmp_path / "times.json"]
    assert main(["bench", "transcribe", *map(str, arguments)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    found = json.loads((tmp_path / "times.json").read_text())["measurements"]
    assert [each["beam"] for each in found] == [1, 3]
    for each in found:
        assert set(each["stages"]) == set(STAGES) and each["num_windows"] == 5
        assert each["speed"] == pytest.approx(each["audio_seconds"] / each["seconds"]) and each["num_tokens"] > 5


def test_texts_of_a_given_length(tmp_path):
    arguments = [
        DIGITS / "dfp",
        DIGITS / "recordings",
        "--beam",
        2,
        "--tokens",
        7,
        "--repeats",
        1,
        "--device",
        "cpu",
        "--json",
        tmp_path / "times.json",
    ]
    assert main(["bench", "transcribe", *map(str, arguments)]) == 0
    [found] = json.loads((tmp_path / "times.json").read_text())["measurements"]
    assert found["num_tokens"] == 7 * found["num_windows"]


@pytest.mark.parametrize("flag, value, smallest", [("--repeats", 0, 1), ("--tokens", 1, 2)])
def test_numbers_that_mean_nothing_are_an_error(capsys, flag, value, smallest):
    assert main(["bench", "transcribe", str(DIGITS / "dfp"), str(DIGITS / "recordings"), flag, str(value)]) == 1
    assert f"{flag} must be at least {smallest}, but is {value}" in capsys.readouterr().err
