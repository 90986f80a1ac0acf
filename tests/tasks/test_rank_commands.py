"""fairseq-train in several processes: the updates of one, whoever starts them, and an end where one of them dies."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from commands import (
    MODELS,
    at_once,
    clean_environment,
    free_port,
    last_line,
    run,
    succeeded,
    train,
    train_in_two_processes,
    train_on_two_nodes,
    training,
    updates,
)
from gpu import needs_two_gpus

pytestmark = pytest.mark.end_to_end
WITHOUT_DROPOUT = ["--dropout", 0, "--attention-dropout", 0, "--activation-dropout", 0]  # whose masks differ by rank
FIVE_BATCHES = ["--max-tokens", 6000, "--batch-size", 5, "--required-batch-size-multiple", 1]  # of 22 utterances
ONE_BATCH = ["--max-tokens", 100_000, "--required-batch-size-multiple", 1]
CONFORMER = MODELS["dfp_conformer_compressed"]
FAIRSEQ_TRAIN = Path(sys.executable).with_name("fairseq-train")
SAVING = ["--save-interval-updates", 3, "--keep-interval-updates", 1, "--no-epoch-checkpoints", "--disable-validation"]
FROM_GRAPHS = ["--bf16", "--optimizer", "speechllm_adam", "--ddp-backend", "legacy_ddp", "--num-batch-buckets", 2, "--cuda-graphs", 8]
SECONDS_TO_START, SECONDS_TO_END = 300, 60


def losses(process):
    """(updates, 3 or 2) losses and norms; the last digits of some are rounded the other way now and then."""
    return torch.tensor([[float(log[name]) for name in sorted(log)] for log in updates(succeeded(process)).values()])


def assert_same_updates(one, other, number):
    assert len(losses(one)) == len(losses(other)) == number
    torch.testing.assert_close(losses(one), losses(other), rtol=2e-3, atol=2e-3)


def assert_same_weights(one, other):
    """Of the last checkpoints of two folders."""
    ends = [torch.load(folder / "checkpoint_last.pt", weights_only=True)["model"] for folder in (one, other)]
    for name, weight in ends[0].items():
        if not name.endswith("kv_proj.bias"):  # of keys: their gradients are 0 but for rounding, of which Adam makes steps
            torch.testing.assert_close(weight, ends[1][name])


@pytest.mark.parametrize("batches", [FIVE_BATCHES, [*FIVE_BATCHES, "--batch-size", 6]], ids=["five", "four"])
@pytest.mark.parametrize("model", ["xattn_transformer", "dfp_without_encoder"])
def test_two_ranks_are_one_with_twice_the_batches(data, tmp_path, model, batches):
    """Also in the last update of an epoch, for which there is one batch or a whole one for each."""
    flags = [*WITHOUT_DROPOUT, *batches, "--max-epoch", 2]
    settings = {"model": MODELS[model], "updates": 100}
    first, second = train_in_two_processes(data, tmp_path / "two", *flags, **settings)
    alone = train(data, tmp_path / "one", *flags, "--update-freq", 2, **settings)
    assert_same_updates(first, alone, 2 * (2 if "6" in map(str, batches) else 3))
    assert_same_weights(tmp_path / "two", tmp_path / "one")


def test_two_ranks_go_on_in_the_epoch_in_which_one_has_stopped(data, tmp_path):
    """After the fourth update, the first of the three of the second epoch."""
    flags, out = [*WITHOUT_DROPOUT, *FIVE_BATCHES], tmp_path / "stopped"
    train(data, out, *flags, "--update-freq", 2, updates=4)
    first, _ = train_in_two_processes(data, out, *flags, updates=6)
    assert list(updates(first)) == [5, 6]
    succeeded(train(data, tmp_path / "whole", *flags, "--update-freq", 2, updates=6))
    assert_same_weights(out, tmp_path / "whole")


def test_two_nodes_of_torchrun_train_as_one_process_with_twice_the_batches(data):
    """speechllm_adam on the nodes, fairseq's Adam in the one process."""
    first, second = train_on_two_nodes(data, None, *WITHOUT_DROPOUT, *FIVE_BATCHES, "--optimizer", "speechllm_adam", updates=3)
    assert_same_updates(first, train(data, None, *WITHOUT_DROPOUT, *FIVE_BATCHES, "--update-freq", 2, updates=3), 3)
    assert not updates(second)


def test_batch_norm_over_two_ranks_is_that_of_one_with_the_whole_batch(data):
    """An epoch is one batch, which two ranks divide; they are started by fairseq-train itself."""
    flags = [*WITHOUT_DROPOUT, *ONE_BATCH]
    together, alone = at_once(
        lambda: train(data, None, *flags, "--distributed-world-size", 2, model=CONFORMER, updates=3, run=run),
        lambda: train(data, None, *flags, model=CONFORMER, updates=3),
    )
    assert_same_updates(together, alone, 3)


def test_ranks_train_with_16_bits(data):
    succeeded(train(data, None, "--bf16", "--optimizer", "speechllm_adam", "--distributed-world-size", 2, updates=2, run=run))


def train_on_gpus(data, *arguments, launcher=(), **settings):
    return succeeded(run(*launcher, FAIRSEQ_TRAIN, *training(data, None, *arguments, **settings), cwd=data.parent))


@needs_two_gpus
@pytest.mark.parametrize(("launcher", "backend"), [("fairseq", "legacy_ddp"), ("fairseq", "pytorch_ddp"), ("torchrun", "legacy_ddp")])
def test_two_gpus_train_as_one_with_the_whole_batch(data, launcher, backend, monkeypatch):
    """In small steps, and without convolutions whose inputs are rounded to 10 bits: they may be for one batch and not for half of it."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    flags = [*WITHOUT_DROPOUT, *ONE_BATCH, "--lr", 1e-3, "--optimizer", "speechllm_adam", "--ddp-backend", backend]
    torchrun = [FAIRSEQ_TRAIN.with_name("torchrun"), "--nproc-per-node", 2, "--master-port", free_port(), "--no-python"]
    together = train_on_gpus(
        data, *flags, "--distributed-world-size", 2, model=CONFORMER, updates=3, launcher=torchrun if launcher == "torchrun" else ()
    )
    assert_same_updates(together, train_on_gpus(data, *flags, "--distributed-world-size", 1, model=CONFORMER, updates=3), 3)


@needs_two_gpus
@pytest.mark.parametrize("compression", ["none", "avg"])
def test_two_gpus_train_from_graphs_with_16_bits(data, compression):
    """The first updates meet new shapes; later ones capture and replay them, with the sums of batch norm. Compression makes two graphs of one."""
    flags = [*WITHOUT_DROPOUT, *FROM_GRAPHS, "--ctc-compression", compression]
    process = train_on_gpus(data, *flags, "--distributed-world-size", 2, model=CONFORMER, updates=12)
    assert re.search("CUDA graphs: [12] captured", process.stdout + process.stderr)
    assert losses(process).isfinite().all() and len(losses(process)) == 12


def ranks_of(process):
    """The processes of the ranks that a fairseq-train has started, in their order."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return sorted(int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text())


def end_of_killed_training(command, last, log):
    """The updates of the last checkpoint of a training whose second rank is killed once there is one; the first ends, and the log says why."""
    with open(log, "w") as out:
        process = subprocess.Popen([*map(str, command)], cwd=last.parents[1], env=clean_environment(), stdout=out, stderr=out)
        try:
            end = time.monotonic() + SECONDS_TO_START
            while not last.is_file() and process.poll() is None and time.monotonic() < end:
                time.sleep(0.1)
            ranks = ranks_of(process)
            os.kill(ranks[1], signal.SIGKILL)
            assert process.wait(SECONDS_TO_END) == 1
        finally:
            process.kill()
    assert not Path(f"/proc/{ranks[0]}").exists()
    assert log.read_text().splitlines()[-1] == (
        "fairseq-train: error: rank 1 died of SIGKILL, as the system ends processes when memory is short; the other ranks were ended; the same "
        f"command goes on from {last}"
    )
    return torch.load(last, weights_only=True)["optimizer_history"][-1]["num_updates"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_rank_that_dies_ends_the_others_and_one_process_goes_on(data, tmp_path):
    out = tmp_path / "run"
    command = [FAIRSEQ_TRAIN, *training(data, out, *SAVING, "--distributed-world-size", 2, updates=100_000), "--cpu"]
    done = end_of_killed_training(command, out / "checkpoint_last.pt", tmp_path / "log")
    assert min(updates(succeeded(train(data, out, "--update-freq", 2, updates=done + 2)))) == done + 1


@needs_two_gpus
def test_a_gpu_whose_rank_dies_ends_the_others_and_the_same_command_goes_on(data, tmp_path):
    """Of ranks that replay NCCL's sums."""
    out = tmp_path / "run"
    flags = [data, out, *SAVING, *FROM_GRAPHS, "--distributed-world-size", 2]
    command = [FAIRSEQ_TRAIN, *training(*flags, model=CONFORMER, updates=100_000)]
    done = end_of_killed_training(command, out / "checkpoint_last.pt", tmp_path / "log")
    again = succeeded(run(FAIRSEQ_TRAIN, *training(*flags, model=CONFORMER, updates=done + 2), cwd=data.parent))
    assert min(updates(again)) == done + 1


def test_processes_on_cpus_are_not_started_for_a_part_of_the_ranks(data):
    process = train(data, None, "--distributed-world-size", 2, "--distributed-rank", 1)
    assert process.returncode == 1
    message = "--distributed-rank 1 with --cpu needs --distributed-no-spawn, or give all nodes to torchrun"
    assert last_line(process) == f"fairseq-train: error: {message}"
