"""`speechllm bench scaling`: the same work on several ranks, numbers that add up, and errors before anything is measured."""

import json
import os
from types import SimpleNamespace

import pytest
from commands import ROOT

from speechllm_plugin.benchmarking.rank_training import RankMeasurement, rest_beside
from speechllm_plugin.benchmarking.scaling_table import rest_line
from speechllm_plugin.benchmarking.update_profile import group_of
from speechllm_plugin.commands import bench_scaling, cli

SMALL = (
    "--encoder-layers 2 --ctc-layer 1 --decoder-layers 1 --encoder-embed-dim 16 --decoder-embed-dim 16 --encoder-ffn-embed-dim 16 "
    "--decoder-ffn-embed-dim 16 --encoder-attention-heads 2 --decoder-attention-heads 2 --conv-channels 16 --depthwise-conv-kernel-size 3"
)
SIZES = ["--vocab-size", "50", "--transcript-vocab-size", "30", "--model-flags", SMALL, "--device", "cpu"]


def scaling(*arguments):
    (row,) = (ROOT / "recipes/models").glob("row5.1_*.sh")
    return cli.main(["bench", "scaling", str(row), *map(str, arguments), *SIZES])


@pytest.mark.end_to_end
def test_trainings_on_one_and_two_processes_are_compared(tmp_path, capsys):
    level = os.environ.get("LOGLEVEL")
    results = {"--json": tmp_path / "scaling.json", "--plot": tmp_path / "scaling.svg", "--profile": tmp_path / "profiles"}
    work = ["--gpus", 2, 1, "--frames", 2000, "--rank-frames", 0, "--updates", 2, "--warm-up", 2, "--workers", 0]
    work += ["--train-flags", "--num-batch-buckets 2", "--seconds", 1.25]
    assert scaling(*work, *(word for pair in results.items() for word in pair)) == 0
    assert os.environ.get("LOGLEVEL") == level  # that of the ranks stays theirs
    measured = json.loads(results["--json"].read_text(encoding="utf-8"))["measurements"]
    assert [(each["num_ranks"], each["max_tokens"], each["error"]) for each in measured] == [(1, 2000, None), (2, 1000, None)]
    one, two = measured
    assert one["ratio"] == 1 and two["ratio"] == pytest.approx(two["frames_per_second"] / one["frames_per_second"])
    assert one["communication_milliseconds"] == 0 < two["communication_milliseconds"]
    for each in measured:
        assert each["frames_per_second"] * each["milliseconds"] / 1000 == pytest.approx(2000, rel=0.1)  # frames of an update
        assert each["communication_share"] == pytest.approx(each["communication_milliseconds"] / each["milliseconds"])
        assert each["communication_milliseconds"] == each["kernel_milliseconds"].get("communication", 0)
    assert one["rest"] is None and sum(two["rest"].values()) == pytest.approx(two["milliseconds"] - one["milliseconds"] / 2)
    printed = capsys.readouterr().out
    assert f"{sum(two['rest'].values()):+.1f} ms beside one rank with as much work: " in printed
    assert printed.count("2,000 an update") == 2 and " 1.00 x " in printed
    assert len(list(results["--profile"].glob("*.txt"))) == 2 and "</svg>" in results["--plot"].read_text()


def test_utterances_of_one_length_fill_the_batches_of_every_work():
    works = [("", 1, 320_000), ("", 2, 160_000), ("", 1, 40_000), ("", 2, 40_000)]
    args = SimpleNamespace(warm_up=10, updates=20, seconds=6.4)
    lengths, number = bench_scaling.corpus(works, args)
    assert set(lengths) == {640} and number >= 33 * 500
    assert [number % each for each in (496, 2 * 248, 56, 2 * 56)] == [0] * 4


def test_the_rest_is_what_an_update_takes_beyond_its_share_of_one_rank():
    one = RankMeasurement("row", "320,000 an update", 1, 320_000, milliseconds=80.0, kernel_milliseconds={"products": 60.0, "optimizer": 4.0})
    kernels = {"products": 31.0, "optimizer": 4.0, "communication": 5.0}
    two = RankMeasurement("row", "320,000 an update", 2, 160_000, milliseconds=50.0, kernel_milliseconds=kernels)
    rest = {"communication": 5.0, "optimizer": 2.0, "idle": 2.0, "products": 1.0}  # one rank is idle for 16 ms, two for 10
    assert rest_beside(one, two) == rest and list(rest_beside(one, two)) == list(rest)
    two.rest = rest
    assert rest_line(two) == "  +10.0 ms beside one rank with as much work: communication +5.0; optimizer +2.0; idle +2.0; products +1.0"
    assert rest_beside(one, one) is None
    two.error = "out of memory"
    assert rest_beside(one, two) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus", 2, 4], "--gpus must have 1, with which the others are compared, but is 2 4"),
        (["--gpus", 1, 3], "--frames 320000 cannot be shared among 3 GPUs: give a multiple of 3"),
        (["--frames", 0, "--rank-frames", 0], "are both 0, so that nothing would be measured"),
        (["--rank-frames", -1], "--rank-frames must not be negative (0 = not measured), but is -1"),
        (["--seconds", 0], "--seconds must be at least 0.01, but is 0.0"),
        (["--seconds", 500], "an utterance of --seconds 500 does not fit a batch of 40000 frames: raise --frames or --rank-frames"),
        (["--updates", 0], "--updates must be at least 1, but is 0"),
        (["--plot", "scaling.txt"], "--plot must end with one of .png, .pdf, .svg, but is scaling.txt"),
    ],
)
def test_errors_name_the_flag(arguments, message, capsys):
    assert scaling(*arguments) != 0
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgs)", "gloo:all_reduce", "SumOverProcesses"])
def test_sums_over_ranks_are_communication(name):
    assert group_of(name) == "communication"
