"""Numbers that ranks exchange past the GPUs, and ranks that end badly."""

import signal

import pytest
import torch
from fairseq.distributed import utils
from torch import distributed
from two_ranks import on_two_ranks

from speechllm_plugin.host import rank_numbers, rank_processes


def exchange(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    numbers = {"tokens": 3 + rank, "share": 0.5, "nothing": 0}
    summed = utils.all_reduce_dict(numbers, torch.device("cuda"), None)
    torch.save((summed, rank_numbers.norms_of_hosts(1.5 + rank)), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_what_hosts_know_is_summed_without_a_gpu(tmp_path):
    """There is none here; the sums are Python's numbers, for which no update waits."""
    on_two_ranks(exchange, tmp_path)
    for rank in range(2):
        summed, norms = torch.load(tmp_path / f"{rank}.pt")
        assert summed == {"tokens": 7.0, "share": 1.0, "nothing": 0.0} and list(summed) == ["tokens", "share", "nothing"]
        assert all(type(value) is float for value in summed.values()) and norms == [1.5, 2.5]


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
