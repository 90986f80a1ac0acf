"""The ranks of fairseq-train: processes that it starts itself, one for each GPU, or that torchrun has started; on CPUs as well.

fairseq counts GPUs to know how many processes to start: on CPUs it starts none, and ends as if all were well. Under torchrun it counts
them too, so that with one GPU a node each process trains on its own. A rank that dies leaves the others waiting, or ending in a page.
"""

import functools
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from speechllm_plugin.host import rank_numbers, stock_command

logger = logging.getLogger(__name__)

SECONDS_OF_GRACE = 10  # that the other ranks have when one has ended badly; one inside of NCCL hears no signal
OF_TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK")
LOST_CONNECTION = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "remote process exited", "NCCL communicator was aborted")


def start_and_watch() -> None:
    """Let fairseq-train be one of torchrun's ranks, or start and watch its own."""
    from fairseq.distributed import utils

    from speechllm_plugin.host import configuration

    call_main = utils.call_main

    @functools.wraps(call_main)
    def started(cfg: DictConfig, main: Callable[..., Any], **kwargs: Any) -> None:
        parallel = cfg.distributed_training
        if stock_command.trains():
            configuration.correct(cfg)  # before ranks meet: with --bf16 they would meet as those of TPUs
            join_torchrun(parallel, cfg.common.cpu, os.environ)
            serve_cpus(parallel, cfg.common.cpu)
            if parallel.distributed_init_method is None:
                utils.infer_init_method(parallel)
        if not stock_command.trains() or parallel.distributed_world_size == 1 or parallel.distributed_no_spawn:
            call_main(cfg, main, **kwargs)
            rank_numbers.end_threads()
            return
        first, parallel.distributed_rank = parallel.distributed_rank, None  # each process counts its own from the first
        number = parallel.distributed_world_size if cfg.common.cpu else min(torch.cuda.device_count(), parallel.distributed_world_size)
        watch(run_rank, (main, cfg, {**kwargs, "start_rank": first}), number, first, Path(cfg.checkpoint.save_dir))

    utils.call_main = started


def run_rank(index: int, main: Callable[..., Any], cfg: DictConfig, kwargs: dict[str, Any]) -> None:
    """One of the processes that fairseq-train starts. Its data loader forks workers, as that of a single process does.

    A process that was spawned would spawn them: each would import all anew and get a copy of the data set, in every epoch and validation.
    """
    from fairseq.distributed import utils

    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)
    if cfg.common.cpu:
        share_cores(cfg.distributed_training.distributed_world_size)
    utils.distributed_main(index, main, cfg, kwargs)
    rank_numbers.end_threads()


def share_cores(num_ranks: int) -> None:
    """Give this rank its part of a CPU's threads, unless OMP_NUM_THREADS says how many: two ranks with all of them take twice as long."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // num_ranks))


def join_torchrun(parallel: DictConfig, on_cpu: bool, environment: Any) -> None:
    """Take the rank that torchrun has given this process, unless the flags say another."""
    if parallel.distributed_init_method is None and all(name in environment for name in OF_TORCHRUN):
        parallel.distributed_world_size, parallel.distributed_rank = int(environment["WORLD_SIZE"]), int(environment["RANK"])
        parallel.device_id = 0 if on_cpu else int(environment["LOCAL_RANK"])
        if parallel.distributed_world_size > 1:
            parallel.distributed_init_method, parallel.distributed_no_spawn = "env://", True


def serve_cpus(parallel: DictConfig, on_cpu: bool) -> None:
    """Replace what only GPUs have, and say so.

    Raises:
        ValueError: processes are to be started for a part of the ranks, as on one of several nodes.
    """
    if not on_cpu or parallel.distributed_world_size == 1:
        return
    for name, of_gpus, of_cpus in (("distributed_backend", ("nccl",), "gloo"), ("ddp_backend", ("pytorch_ddp", "c10d"), "legacy_ddp")):
        if parallel[name] in of_gpus:
            logger.info(f"--{name.replace('_', '-')} {of_cpus}, as {parallel[name]} needs GPUs")
            parallel[name] = of_cpus
    if parallel.distributed_no_spawn:
        return
    if parallel.distributed_rank:
        raise ValueError(f"--distributed-rank {parallel.distributed_rank} with --cpu needs --distributed-no-spawn, or give all nodes to torchrun")
    if parallel.distributed_init_method is None:
        parallel.distributed_init_method = f"tcp://localhost:{parallel.distributed_port if parallel.distributed_port > 0 else free_port()}"


def lost_connection(error: BaseException | str) -> bool:
    """Whether this is what torch says when another rank has ended."""
    return any(words in str(error) for words in LOST_CONNECTION)


def free_port() -> int:
    with socket.socket() as sought:
        sought.bind(("localhost", 0))
        return int(sought.getsockname()[1])


def watch(function: Callable[..., Any], arguments: Sequence[Any], number: int, first_rank: int, save_dir: Path) -> None:
    """Run a function in so many processes until all have ended, or all the others once one has ended badly.

    Raises:
        ValueError: a process has died of a signal, or has ended with a status: the rank, and what to do.
        torch.multiprocessing.ProcessRaisedException: it has raised something, whose traceback this has.
    """
    context = torch.multiprocessing.spawn(function, tuple(arguments), nprocs=number, join=False)
    running = dict(enumerate(context.processes))
    ended: list[int] = []
    while running and not any(context.processes[index].exitcode for index in ended):
        connection.wait([process.sentinel for process in running.values()])
        ended = [index for index, process in running.items() if not process.is_alive()]
        for index in ended:
            running.pop(index).join()
    if not running and not any(process.exitcode for process in context.processes):
        return
    guilty = min((index for index in ended if context.processes[index].exitcode), key=lambda index: suspicion(reason_of(context, index)))
    end_all(running.values())
    if reason := reason_of(context, guilty):
        message = f"\n\n-- Process {guilty} terminated with the following error:\n{reason}"
        raise torch.multiprocessing.ProcessRaisedException(message, guilty, context.processes[guilty].pid)
    raise ValueError(ended_badly(first_rank + guilty, context.processes[guilty].exitcode, save_dir))


def suspicion(reason: str) -> int:
    """The lower, the more probably a process that ended for this reason was the first of several: one that was killed gave none.

    Which signal ended it says nothing, as threads of gloo may abort a process that has raised something before.
    """
    return 2 if lost_connection(reason) else int(bool(reason))


def reason_of(context: Any, index: int) -> str:
    """The traceback of a process; empty where it has raised nothing."""
    path = Path(context.error_files[index])
    return pickle.loads(path.read_bytes()) if path.is_file() and path.stat().st_size else ""


def end_all(processes: Any) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(SECONDS_OF_GRACE)
        process.kill()
        process.join()


def ended_badly(rank: int, exitcode: int, save_dir: Path) -> str:
    how = f"died of {signal.Signals(-exitcode).name}" if exitcode < 0 else f"ended with status {exitcode}"
    memory = ", as the system ends processes when memory is short" if exitcode == -signal.SIGKILL else ""
    last = save_dir / "checkpoint_last.pt"
    remedy = f"goes on from {last}" if last.is_file() else "begins anew, as no checkpoint was stored yet"
    return f"rank {rank} {how}{memory}; the other ranks were ended; the same command {remedy}"
