"""The sound of a corpus's rows, read by several processes: lengths, features, and what is wrong with it."""

import functools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from speechllm_plugin.data import audio, features
from speechllm_plugin.data.containers.incomplete import EmptySound
from speechllm_plugin.preparation import speed_perturbation
from speechllm_plugin.preparation.corpus_row import CorpusRow

# Corpora round times to 10 ms, so the last row of a talk may end this much after its file.
ROUNDING_SECONDS = 0.01

_CHUNK = 16  # rows sent to a worker at once
_CHUNKS_AHEAD = 4  # per worker; bounds the features in memory when writing is slower than computing


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading the sound of a row gave.

    audio: of its utterance in the manifest.
    n_frames: of its utterance in the manifest.
    features: (T, 80) if they were asked for.
    recording: where the sound is, if `audio` says where the features are stored; else empty.
    problem: why the sound cannot be used; empty if it can.
    is_empty: there is no sound, which is the problem.
    """

    audio: str = ""
    n_frames: int = 0
    features: np.ndarray | None = None
    recording: str = ""
    problem: str = ""
    is_empty: bool = False


def read_sound(row: CorpusRow, root: str | Path, frames: range, with_features: bool) -> Reading:
    """The reading of one row; features are computed only for lengths within `frames`."""
    try:
        source = _source(row, root)
        waveform = speed_perturbation.played(audio.read(source, root), row.speed)
    except ValueError as error:
        return Reading(problem=str(error), is_empty=isinstance(error, EmptySound))
    n_frames = features.num_frames(len(waveform))
    return Reading(source, n_frames, features.filterbanks(waveform) if with_features and n_frames in frames else None)


class SoundReaders:
    """Processes that read audio; they end with the block, and also when the parent is killed."""

    def __init__(self, num_workers: int):
        self._num_workers = num_workers
        self._pool = ProcessPoolExecutor(num_workers, initializer=_serve_parent)

    def __enter__(self) -> Self:
        # Start them now: to fork later, beside the thread of a progress bar, would not be safe.
        self._pool.submit(os.getpid).result()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def read(self, rows: Sequence[CorpusRow], root: str | Path, frames: range, with_features: bool) -> Iterator[Reading]:
        """The reading of every row, in their order."""
        read_one = functools.partial(read_sound, root=root, frames=frames, with_features=with_features)
        pending: deque[Future[list[Reading]]] = deque()
        try:
            for start in range(0, len(rows), _CHUNK):
                pending.append(self._pool.submit(_read_all, read_one, rows[start : start + _CHUNK]))
                if len(pending) > _CHUNKS_AHEAD * self._num_workers:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        except BrokenProcessPool as error:
            raise ValueError(f"a reading process was killed, perhaps for memory; use fewer --workers than {self._num_workers}") from error


def _read_all(read_one: Callable[[CorpusRow], Reading], rows: Iterable[CorpusRow]) -> list[Reading]:
    return [read_one(row) for row in rows]


def _source(row: CorpusRow, root: str | Path) -> str:
    path, start_seconds, duration_seconds, _ = row.sound
    if duration_seconds is None and not start_seconds:
        return path
    length, rate = audio.length_and_rate(path, root)
    start = round(start_seconds * rate)
    if not length:
        raise EmptySound(f"{path}: the waveform is empty (0 samples); remove the row or replace the file")
    if start >= length:
        raise ValueError(f"{path}: the utterance starts at {start_seconds} s, but the file has {length / rate:.3f} s; correct its offset")
    num_samples = length - start if duration_seconds is None else round(duration_seconds * rate)
    overrun = start + num_samples - length
    if 0 < overrun <= ROUNDING_SECONDS * rate:
        num_samples -= overrun
    return f"{path}:{start}:{num_samples}"


def _serve_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with, args=[multiprocessing.parent_process()], daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
