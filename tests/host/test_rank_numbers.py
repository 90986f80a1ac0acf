"""Numbers that ranks exchange past the GPUs, and ranks that end badly."""

import signal
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from fairseq.distributed import utils
from fairseq.trainer import Trainer
from torch import distributed
from two_ranks import on_two_ranks

from speechllm_plugin.host import rank_numbers, rank_processes

GPU = torch.device("cuda")  # there is none here: what hosts know needs none
NUMBERS = {"tokens": 3, "share": 0.5, "nothing": 0}


def trainer_of(rank, optimizer):
    """What fairseq's check of norms asks of a trainer on GPUs."""
    return SimpleNamespace(
        optimizer=optimizer,
        data_parallel_rank=rank,
        data_parallel_process_group=None,
        cfg=SimpleNamespace(common=SimpleNamespace(amp=False)),
        _grad_norm_buf=torch.zeros(2, dtype=torch.double),
    )


def error_of(function, *arguments):
    try:
        function(*arguments)
    except FloatingPointError as error:
        return str(error)


def exchange(rank, folder):
    results = {"sums": utils.all_reduce_dict({**NUMBERS, "tokens": 3 + rank}, GPU, None)}
    for name, more in (("one type", {}), ("two types", {"states": torch.tensor(2**24 + 1 + rank)})):
        on_device = {"loss": torch.tensor(0.1 + rank), "nll_loss": torch.tensor(1e9), **more}
        both = rank_numbers.sums_of_gpus(on_device, None), utils.all_reduce_dict.__wrapped__(on_device, torch.device("cpu"), None)
        results[name] = [{name: (value.dtype, value.dim(), value.tolist()) for name, value in sums.items()} for sums in both]
    trainers = {"now": trainer_of(rank, SimpleNamespace()), "late": trainer_of(rank, SimpleNamespace(late_norm="of the update before"))}
    for when, trainer in trainers.items():
        for what, norm in (("one norm", 1.5), ("two norms", 1.5 + rank), ("no norm", 1.5 if rank else float("nan"))):
            at_once = error_of(Trainer._check_grad_norms, trainer, torch.tensor(norm))
            results[when, what] = at_once, error_of(utils.all_reduce_dict, NUMBERS, GPU, None)
        Trainer._check_grad_norms(trainer, torch.tensor(2.5))
        results[when, "sums"] = [utils.all_reduce_dict({**NUMBERS, "tokens": 3 + rank}, GPU, None) for _ in range(2)]
    with mock.patch.object(distributed, "get_backend", lambda: "nccl"):
        before = len(distributed.distributed_c10d._world.pg_map)
        rank_numbers.end_threads()  # of a training on GPUs: only the hosts' own group ends
        results["groups"] = before, len(distributed.distributed_c10d._world.pg_map)
    torch.save(results, f"{folder}/{rank}.pt")


def test_what_hosts_know_is_exchanged_without_a_gpu(tmp_path):
    """Sums of tensors are fairseq's, those of numbers are Python's, for which no update waits.

    Norms that differ end the training on all ranks, late ones at the next exchange.
    """
    on_two_ranks(exchange, tmp_path)
    for rank in range(2):
        results = torch.load(tmp_path / f"{rank}.pt")
        assert results["groups"] == (2, 1)
        for sums in (results["sums"], *results["now", "sums"], *results["late", "sums"]):
            assert sums == {"tokens": 7.0, "share": 1.0, "nothing": 0.0} and list(sums) == list(NUMBERS)
            assert all(type(value) is float for value in sums.values())
        for name in ("one type", "two types"):
            assert results[name][0] == results[name][1] and results[name][0]["nll_loss"] == (torch.double, 0, 2e9)
        for when, raised_by in (("now", 0), ("late", 1)):
            assert results[when, "one norm"] == (None, None)
            for what, norms in (("two norms", ("1.50000000", "2.50000000")), ("no norm", ("nan", "1.50000000"))):
                messages = results[when, what]
                assert messages[1 - raised_by] is None and "gradients are inconsistent between workers" in messages[raised_by]
                assert all(f"rank   {number} = {norm}" in messages[raised_by] for number, norm in enumerate(norms))


@pytest.mark.parametrize(
    ("norms", "expected"), [([2.0, 2.0], True), ([2.0, 2.0 + 1e-9], True), ([2.0, 2.1], False), ([2.0, float("nan")], False), ([0.0, 0.0], True)]
)
def test_norms_of_one_gradient_agree(norms, expected):
    assert rank_numbers.agree(norms) == expected


def test_a_rank_says_how_it_ended_and_where_to_go_on(tmp_path):
    killed = rank_processes.ended_badly(3, -signal.SIGSEGV, tmp_path)
    assert killed == "rank 3 died of SIGSEGV; the other ranks were ended; the same command begins anew, as no checkpoint was stored yet"
    (tmp_path / "checkpoint_last.pt").touch()
    message = f"rank 0 ended with status 7; the other ranks were ended; the same command goes on from {tmp_path}/checkpoint_last.pt"
    assert rank_processes.ended_badly(0, 7, tmp_path) == message
    assert rank_processes.lost_connection("[pair.cc:547] Connection closed by peer [127.0.0.1]:2")
