"""`speechllm bench loader`: every frame is counted once, whoever reads it, and its errors name the flag."""

import json
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest

from speechllm_plugin.benchmarking import loader_benchmark, noise_corpus
from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest, manifest_blocks

NUM_ROWS = 64


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise") / "data"
    noise_corpus.write(folder, np.random.default_rng(1).integers(20, 300, NUM_ROWS), 50, 30)
    return folder


def bench(*arguments):
    return cli.main(["bench", "loader", *map(str, arguments)])


def test_every_frame_is_read_once_by_any_number_of_workers(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(loader_benchmark, "SECONDS_BETWEEN_LOOKS", 0)
    result = tmp_path / "loader.json"
    assert bench(data, "--workers", 0, 2, "--max-tokens", 2000, "--num-batch-buckets", 3, "--json", result) == 0
    printed, content = capsys.readouterr(), json.loads(result.read_text())
    assert "Warning" not in printed.err and f"{NUM_ROWS} rows: read in" in printed.out
    num_frames = sum(row.n_frames for row in manifest.read(data / "train.tsv"))
    alone, together = content["measurements"]
    assert content["start"]["rows"] == NUM_ROWS and content["start"]["main_mib"] > 100
    for measured in (alone, together):
        assert measured["frames"] == num_frames and measured["batches"] == content["start"]["batches"]
        assert measured["frames_per_second_and_worker"] * max(1, measured["workers"]) == pytest.approx(measured["frames_per_second"])
        assert min(measured["frames_per_second_of_computing"], measured["first_batch_seconds"]) > 0
        assert measured["main_mib"] >= measured["main_share_mib"] > 0
    assert alone["worker_mib"] is None and together["worker_mib"] >= together["worker_share_mib"] > 0
    assert not multiprocessing.active_children()


def test_a_part_of_an_epoch_is_enough(data):
    batching = {"max_tokens": 1000}
    task, start = loader_benchmark.load(data, "train", batching, {})
    for measured in loader_benchmark.run(task, "train", batching, [0, 1], most_seconds=1e-6):
        assert measured.batches == 2 < start.batches
        assert not multiprocessing.active_children()


def test_rows_come_again_until_there_are_so_many(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(manifest_blocks, "LINES_PER_BLOCK", 10)
    loader_benchmark.repeat_rows(data / "train.tsv", 2 * NUM_ROWS + 13, tmp_path / "more.tsv")
    rows, more = manifest.read(data / "train.tsv"), manifest.read(tmp_path / "more.tsv")
    assert [replace(row, id=row.id.partition("-")[2]) for row in more] == [*rows, *rows, *rows[:13]]
    result = tmp_path / "loader.json"
    assert bench(data, "--rows", len(more), "--workers", 1, "--max-tokens", 3000, "--json", result) == 0
    content = json.loads(result.read_text())
    assert f"{len(more)} rows: read in" in capsys.readouterr().out and content["start"]["rows"] == len(more)
    assert content["measurements"][0]["frames"] == sum(row.n_frames for row in more)
    assert content["start"]["peak_mib"] >= content["start"]["main_mib"] > 100 and content["start"]["read_computing_seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", 0], "--rows must be at least 1, but is 0"),
        (["--workers", 1, -1], "--workers must not be negative (0 = the process itself), but is -1"),
        (["--seconds", 0], "--seconds and --max-tokens must be positive, but are 0 and 40000"),
        (["--max-tokens", 10**6], "train must fill 2 batches of --max-tokens 1000000 at least; lower it, or give more data"),
        (["--length-noise", 2], "--length-noise must be at least 0 and below 1, but is 2.0"),
    ],
)
def test_errors_name_the_flag(data, capsys, arguments, message):
    assert bench(data, *arguments) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
