"""Measures how fast fairseq's loader makes batches of a data folder, with how much memory, and how long it takes to start."""

import itertools
import multiprocessing
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from speechllm_plugin.data.manifest_blocks import ManifestBlocks
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig

SECONDS_BETWEEN_LOOKS = 1.0  # at memory: a look at a large process takes milliseconds


def repeat_rows(path: Path, rows: int, out: Path) -> None:
    """Write a manifest of so many rows: those of another again and again, with the number of the repeat before their ids."""
    blocks = ManifestBlocks(path)
    left = rows
    with open(out, "w", encoding="utf-8", newline="\n") as file:
        file.write("\t".join(blocks.header) + "\n")
        for repeat in itertools.count():
            for columns in blocks:
                ids = [f"{repeat}-{utterance_id}" for utterance_id in columns["id"]]
                lines = map("\t".join, zip(*({**columns, "id": ids}[column] for column in blocks.header)))
                file.writelines(f"{line}\n" for line in itertools.islice(lines, left))
                left -= min(left, len(ids))
                if not left:
                    return


@dataclass(frozen=True)
class Start:
    """What comes before the first batch: reading the split, and planning the batches of an epoch.

    read_computing_seconds: of the process and of the processes that read for it.
    main_mib: resident memory of the process before the first batch.
    peak_mib, reader_mib: the most of it until then, and the most of a process that read for it (0 if none did).
    """

    rows: int
    read_seconds: float
    read_computing_seconds: float
    plan_seconds: float
    batches: int
    main_mib: float
    peak_mib: float
    reader_mib: float


@dataclass(frozen=True)
class LoaderMeasurement:
    """An epoch, or the part of it that the time allowed.

    first_batch_seconds: from the start of the workers to the first batch.
    frames_per_second, frames_per_second_and_worker: without padding, from the first batch to the last, of all and of one worker.
    frames_per_second_of_computing: over the time that the workers computed, or the process itself without workers: what a busy machine hides.
    main_mib, worker_mib: resident memory of the process and of the largest worker, at most.
    main_share_mib, worker_share_mib: the same, where memory that several processes share counts in parts; None where the system does not tell.
    """

    workers: int
    batches: int
    frames: int
    first_batch_seconds: float
    frames_per_second: float
    frames_per_second_and_worker: float
    frames_per_second_of_computing: float
    main_mib: float
    worker_mib: float | None
    main_share_mib: float | None
    worker_share_mib: float | None


def load(data: Path, split: str, batching: dict[str, Any], flags: dict[str, Any]) -> tuple[SpeechLLMSpeechToTextTask, Start]:
    """The task with its split read for training, and what the start took."""
    began, computed = time.perf_counter(), computing_seconds(0) + computing_seconds(1)
    task = SpeechLLMSpeechToTextTask(SpeechToTextTaskConfig(data=str(data), seed=1, **flags))
    task.load_dataset(split, combine=True)
    read, computed = time.perf_counter(), computing_seconds(0) + computing_seconds(1) - computed
    iterator = epochs(task, split, batching, num_workers=0)
    num_batches = len(iterator)
    planned = time.perf_counter()
    memory, _ = memory_of("self")
    peak, reader = (resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return task, Start(len(task.dataset(split)), read - began, computed, planned - read, num_batches, memory, max(memory, peak), reader)


def epochs(task: SpeechLLMSpeechToTextTask, split: str, batching: dict[str, Any], num_workers: int):
    """fairseq's iterator over epochs of batches, as its trainer makes it."""
    return task.get_batch_iterator(
        task.dataset(split),
        max_positions=task.max_positions(),
        ignore_invalid_inputs=True,
        required_batch_size_multiple=8,
        num_workers=num_workers,
        **batching,
    )


def run(
    task: SpeechLLMSpeechToTextTask, split: str, batching: dict[str, Any], workers: Sequence[int], most_seconds: float
) -> Iterator[LoaderMeasurement]:
    """A measurement for each number of workers; each takes `most_seconds` at most, and two batches at least."""
    for num_workers in workers:
        yield measure(epochs(task, split, batching, num_workers), num_workers, most_seconds)


def measure(iterator: Any, num_workers: int, most_seconds: float) -> LoaderMeasurement:
    computed, began = computing_seconds(num_workers), time.perf_counter()
    epoch = iterator.next_epoch_itr()
    first_frames = next(epoch)["nframes"]
    first = looked = time.perf_counter()
    frames, num_batches, memory = 0, 1, Memory()
    memory.look()
    while epoch.has_next() and (num_batches < 2 or time.perf_counter() - began < most_seconds):
        frames += next(epoch)["nframes"]
        num_batches += 1
        if epoch.has_next() and time.perf_counter() - looked > SECONDS_BETWEEN_LOOKS:
            memory.look()
            looked = time.perf_counter()
    seconds = time.perf_counter() - first
    iterator.end_workers()  # whose time counts from then on
    computed = computing_seconds(num_workers) - computed
    return LoaderMeasurement(
        workers=num_workers,
        batches=num_batches,
        frames=first_frames + frames,
        first_batch_seconds=first - began,
        frames_per_second=frames / seconds,
        frames_per_second_and_worker=frames / seconds / max(1, num_workers),
        frames_per_second_of_computing=(first_frames + frames) / computed,
        **asdict(memory),
    )


@dataclass
class Memory:
    """The most memory of this process and of any of its workers, in MiB, over all looks."""

    main_mib: float = 0.0
    worker_mib: float | None = None
    main_share_mib: float | None = None
    worker_share_mib: float | None = None

    def look(self) -> None:
        main, main_share = memory_of("self")
        workers = [memory_of(worker.pid) for worker in multiprocessing.active_children()]
        self.main_mib = max(self.main_mib, main)
        self.main_share_mib = largest([self.main_share_mib, main_share])
        self.worker_mib = largest([self.worker_mib, *(resident for resident, _ in workers)])
        self.worker_share_mib = largest([self.worker_share_mib, *(share for _, share in workers)])


def largest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def memory_of(process: int | str | None) -> tuple[float, float | None]:
    """Resident memory of a process of this system (Linux), and its share where the system tells, in MiB."""
    folder = Path("/proc", str(process))
    status = values_of(folder / "status")
    rollup = folder / "smaps_rollup"
    share = values_of(rollup).get("Pss") if rollup.exists() else None
    return mebibytes(status["VmRSS"]), share if share is None else mebibytes(share)


def values_of(path: Path) -> dict[str, str]:
    return dict(line.split(":", 1) for line in path.read_text(encoding="utf-8").splitlines() if ":" in line)


def mebibytes(text: str) -> float:
    """MiB of `1234 kB`."""
    return int(text.removesuffix("kB")) / 1024


def computing_seconds(num_workers: int) -> float:
    """What the workers that have ended, or this process, have computed so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN if num_workers else resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
