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
        assert each["speed"] == pytest.approx(each["audio_seconds"] / sum(each["stages"].values()))


def test_no_repeats_are_an_error(capsys):
    assert main(["bench", "transcribe", str(DIGITS / "dfp"), str(DIGITS / "recordings"), "--repeats", "0"]) == 1
    assert "--repeats must be at least 1, but is 0" in capsys.readouterr().err
