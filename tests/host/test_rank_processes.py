"""Which ranks a fairseq-train is or starts, from its flags and from torchrun's environment."""

import signal
import time

import pytest
import torch
from omegaconf import OmegaConf

from speechllm_plugin.host import rank_processes

TORCHRUN = {"MASTER_ADDR": "node0", "MASTER_PORT": "29500", "WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1"}


def parallel(**flags):
    defaults = {"world_size": 1, "rank": 0, "init_method": None, "no_spawn": False, "backend": "nccl", "port": -1}
    return OmegaConf.create(
        {f"distributed_{name}": value for name, value in (defaults | flags).items()} | {"ddp_backend": "pytorch_ddp", "device_id": 0}
    )


@pytest.mark.parametrize(("on_cpu", "device_id"), [(False, 1), (True, 0)])
def test_a_process_of_torchrun_takes_its_rank_and_the_gpu_of_its_place_on_the_node(on_cpu, device_id):
    """Also where each node has one GPU, so that fairseq's own default is one rank."""
    flags = parallel()
    rank_processes.join_torchrun(flags, on_cpu, TORCHRUN)
    assert (flags.distributed_world_size, flags.distributed_rank, flags.device_id) == (8, 5, device_id)
    assert (flags.distributed_init_method, flags.distributed_no_spawn) == ("env://", True)


def test_one_process_of_torchrun_trains_alone_and_flags_win():
    flags = parallel(world_size=4)  # fairseq's default with four GPUs
    rank_processes.join_torchrun(flags, False, TORCHRUN | {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"})
    assert (flags.distributed_world_size, flags.distributed_init_method, flags.distributed_no_spawn) == (1, None, False)
    for given, environment in ((parallel(world_size=2, init_method="tcp://here:1"), TORCHRUN), (parallel(), {"RANK": "5", "WORLD_SIZE": "8"})):
        before = given.copy()
        rank_processes.join_torchrun(given, False, environment)
        assert given == before


def test_what_only_gpus_have_is_replaced_on_cpus():
    flags = parallel(world_size=2)
    rank_processes.serve_cpus(flags, on_cpu=True)
    assert (flags.distributed_backend, flags.ddp_backend) == ("gloo", "legacy_ddp") and flags.distributed_init_method.startswith("tcp://localhost:")
    for on_gpus, world_size in ((True, 1), (False, 2)):
        untouched = parallel(world_size=world_size)
        rank_processes.serve_cpus(untouched, on_cpu=on_gpus)
        assert untouched == parallel(world_size=world_size)


def test_ranks_on_a_cpu_share_its_cores_unless_told_how_many_they_have(monkeypatch):
    given = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    rank_processes.share_cores(2)
    assert given == []
    monkeypatch.delenv("OMP_NUM_THREADS")
    for num_ranks in (1, 2, 8):
        rank_processes.share_cores(num_ranks)
    assert given == [7, 3, 1]


def end_or_wait(rank, guilty):
    """The guilty one ends by a signal or an error; the others hear no SIGTERM."""
    if rank == 1:
        if guilty == "killed":
            signal.raise_signal(signal.SIGKILL)
        if guilty == "raises":
            raise ValueError("row 7 is damaged")
    if guilty != "nobody":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)


@pytest.mark.parametrize(
    ("guilty", "message"), [("killed", "^rank 5 died of SIGKILL, .* begins anew"), ("raises", "ValueError: row 7 is damaged"), ("nobody", None)]
)
def test_one_that_ends_badly_ends_the_others(guilty, message, tmp_path, monkeypatch):
    monkeypatch.setattr(rank_processes, "SECONDS_OF_GRACE", 0.2)
    if message is None:
        rank_processes.watch(end_or_wait, (guilty,), 2, 4, tmp_path)
        return
    with pytest.raises(Exception, match=message):
        rank_processes.watch(end_or_wait, (guilty,), 2, 4, tmp_path)


def test_of_several_that_ended_badly_one_that_only_lost_the_others_is_the_last_to_be_named():
    reasons = ["", "ValueError: row 7 is damaged", "RuntimeError: Connection closed by peer [127.0.0.1]:2"]
    assert sorted((reasons[2], reasons[0], reasons[1]), key=rank_processes.suspicion) == reasons
