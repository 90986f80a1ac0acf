"""A training on several GPUs, or in several processes on CPUs, measured from within each of them."""

import contextlib
import json
import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from speechllm_plugin.benchmarking.measurement import OUT_OF_MEMORY
from speechllm_plugin.benchmarking.training_benchmark import PROFILED_UPDATES, Candidate, Training
from speechllm_plugin.benchmarking.training_measurement import TrainingMeasurement
from speechllm_plugin.benchmarking.training_watch import TrainingWatch
from speechllm_plugin.benchmarking.update_profile import UpdateProfile
from speechllm_plugin.host import rank_processes, stock_training
from speechllm_plugin.text import out_of_memory

COMMUNICATION = "communication"  # a group of update_profile
IDLE = "idle"


@dataclass
class RankMeasurement:
    """One training on so many ranks, as `speechllm bench scaling --json` writes it.

    model             the model file's name
    setting           what is equal for all numbers of ranks: "an update" or "a rank", of so many frames
    num_ranks
    error             null, or "out of memory": what follows is null then
    max_tokens        frames that a batch of a rank may have; every rank has one in an update
    milliseconds      of an update of all ranks
    frames_per_second of all ranks together, padding not counted
    ratio             of it to that of one rank in the same setting
    capturing_updates, launching_updates  with --cuda-graphs, on the first rank: as in training_measurement.py; null without
    replaying_frames_per_second, replaying_ratio  of the other updates alone, which replay graphs; null if there are none
    wait_milliseconds of an update, on the first rank: between updates, for the loader and the log
    communication_milliseconds  of an update, on the first rank: sums over ranks, with the time in which they wait for other ranks
    communication_share         of an update
    kernel_milliseconds         of an update, on the first rank: those of each group of update_profile.py, the longest first
    rest              milliseconds of an update beyond what one rank takes for as much work: those of each group, and `idle`, in which no kernel runs;
                      null for one rank
    peak_bytes        of the rank with the most
    """

    model: str
    setting: str
    num_ranks: int
    max_tokens: int
    error: str | None = None
    milliseconds: float | None = None
    frames_per_second: float | None = None
    ratio: float | None = None
    capturing_updates: int | None = None
    launching_updates: int | None = None
    replaying_frames_per_second: float | None = None
    replaying_ratio: float | None = None
    wait_milliseconds: float | None = None
    communication_milliseconds: float | None = None
    communication_share: float | None = None
    kernel_milliseconds: dict[str, float] | None = None
    rest: dict[str, float] | None = None
    peak_bytes: int | None = None


def measure(candidate: Candidate, training: Training, data: Path, num_ranks: int, setting: str) -> RankMeasurement:
    """Train on so many ranks, each with batches of training.max_tokens; the profile of the first goes to training.profile_to."""
    measured = RankMeasurement(candidate.name, setting, num_ranks, training.max_tokens)
    with TemporaryDirectory() as name, _quiet_imports():
        folder, port = Path(name), rank_processes.free_port()
        try:
            rank_processes.watch(train_on_rank, (candidate, training, data, folder, num_ranks, port), num_ranks, 0, folder)
        except torch.multiprocessing.ProcessRaisedException as error:
            if not out_of_memory.is_meant(RuntimeError(str(error))):
                raise
            measured.error = OUT_OF_MEMORY
            return measured
        ranks = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(num_ranks)]
    first = ranks[0]
    per_update = TrainingMeasurement(**first).milliseconds_per_update
    scale = per_update / first["milliseconds"]  # those of a measurement are for the frames that were asked for
    measured.milliseconds = per_update
    measured.frames_per_second = sum(rank["frames_per_second"] for rank in ranks)
    measured.capturing_updates, measured.launching_updates = first["capturing_updates"], first["launching_updates"]
    replaying = [rank["replaying_milliseconds"] for rank in ranks]  # for training.frames of a rank
    measured.replaying_frames_per_second = sum(1000 * training.frames / each for each in replaying) if all(replaying) else None
    measured.wait_milliseconds = first["wait_milliseconds"] * scale
    measured.kernel_milliseconds = {name: group["milliseconds"] for name, group in first["profile"]["groups"].items()}
    measured.communication_milliseconds = measured.kernel_milliseconds.get(COMMUNICATION, 0.0)
    measured.communication_share = measured.communication_milliseconds / per_update
    peaks = [rank["peak_bytes"] for rank in ranks if rank["peak_bytes"] is not None]
    measured.peak_bytes = max(peaks, default=None)
    return measured


def rest_beside(one: RankMeasurement, measured: RankMeasurement) -> dict[str, float] | None:
    """RankMeasurement.rest, the largest first; the sum is how much longer an update takes than it would in proportion to its work."""
    if measured.num_ranks == 1 or one.error or measured.error:
        return None
    share = measured.max_tokens / one.max_tokens
    of_one, own = (each.kernel_milliseconds | {IDLE: each.milliseconds - sum(each.kernel_milliseconds.values())} for each in (one, measured))
    rest = {name: own.get(name, 0.0) - share * of_one.get(name, 0.0) for name in of_one | own}
    return dict(sorted(rest.items(), key=lambda item: -item[1]))


@contextlib.contextmanager
def _quiet_imports() -> Iterator[None]:
    """An environment whose processes do not show what fairseq says of itself when it is imported, unless LOGLEVEL asks for it."""
    is_ours = "LOGLEVEL" not in os.environ
    os.environ.setdefault("LOGLEVEL", "WARNING")
    try:
        yield
    finally:
        if is_ours:
            del os.environ["LOGLEVEL"]


def train_on_rank(rank: int, candidate: Candidate, training: Training, data: Path, folder: Path, num_ranks: int, port: int) -> None:
    """What a process of such a training does; its measurement goes to FOLDER/RANK.json."""
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)  # of the workers that read data
    logging.disable(logging.WARNING)  # fairseq's, of every training
    on_gpu = training.device.type == "cuda"
    device = torch.device("cuda", rank) if on_gpu else training.device
    if on_gpu:
        torch.cuda.set_device(device)
    else:
        rank_processes.share_cores(num_ranks)
    measured = TrainingMeasurement(candidate.name, candidate.trained, 1)
    profile = UpdateProfile(device, PROFILED_UPDATES)
    watch = TrainingWatch(
        measured,
        device,
        frames=training.frames,
        warm_up=training.warm_up,
        updates=training.updates,
        model=candidate.model,
        rate=float("nan"),
        progress=lambda: None,
        profile=profile,
    )
    stock_training.run(
        [*training.command(data, folder / str(rank), candidate.flags), *flags_of(rank, num_ranks, port, on_gpu)], watch, watch.note_peak
    )
    if rank == 0:
        assert training.profile_to is not None  # it has the updates for it
        measured.profile = profile.write(training.profile_to, f"{candidate.name}.{training.max_tokens}x{num_ranks}", measured.milliseconds_per_update)
    (folder / f"{rank}.json").write_text(json.dumps(asdict(measured)))


def flags_of(rank: int, num_ranks: int, port: int, on_gpu: bool) -> list[str]:
    if num_ranks == 1:
        return []
    here = {"world-size": num_ranks, "rank": rank, "init-method": f"tcp://localhost:{port}", "backend": "nccl" if on_gpu else "gloo"}
    flags = [word for name, value in here.items() for word in (f"--distributed-{name}", str(value))]
    return [*flags, "--distributed-no-spawn", "--device-id", str(rank), "--ddp-backend", "legacy_ddp"]
