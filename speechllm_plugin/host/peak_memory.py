"""The last line of the logs of fairseq-generate and fairseq-train: the most memory that decoding or training took."""

import atexit
import contextlib
import functools
import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch

from speechllm_plugin.host import stock_command

MIB = 2**20
RESIDENT_UNIT = 1 if sys.platform == "darwin" else 2**10  # of ru_maxrss: bytes on macOS, KiB on Linux
noted_peaks = [0]  # bytes on the GPU: the largest that torch had to forget
_notes = contextlib.ExitStack()


def log_at_exit() -> None:
    """Let this process end with `peak memory: process 812 MiB, GPU 1,234 MiB` if it is one of the two; elsewhere nothing changes."""
    if _is_meant():
        _register()


def _is_meant() -> bool:
    return stock_command.name() == "fairseq-generate" or stock_command.trains()


@functools.cache
def _register() -> None:
    """Once per process, however many generators or trainings it has."""
    _notes.enter_context(peaks_noted(_note))
    atexit.register(_log)


def _note(peak: int) -> None:
    noted_peaks[0] = max(noted_peaks[0], peak)


def _log() -> None:
    # Not through fairseq's logger: it may write to the file of --results-path, which is closed by now. The recipes' log has stderr.
    # After an error nothing was done to its end, and the error is the last line. A benchmark trains as if it were fairseq-train, until it ends.
    if _is_meant() and not hasattr(sys, "last_value"):
        print(line(), file=sys.stderr)


def line() -> str:
    """What the process had resident, and what torch had allocated on its GPU (weights and CUDA graphs included) at the worst moment, in whole MiB."""
    parts = [f"process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RESIDENT_UNIT / MIB:,.0f} MiB"]
    on_gpu = max(*noted_peaks, torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else 0
    if on_gpu:  # 0: --cpu where there is a GPU
        parts.append(f"GPU {on_gpu / MIB:,.0f} MiB")
    return f"peak memory: {', '.join(parts)}"


@contextlib.contextmanager
def peaks_noted(note_peak: Callable[[int], None]) -> Iterator[None]:
    """A block in which peaks of memory are noted before they are forgotten, as fairseq's trainer does in each update.

    A CUDA graph counts in the update that captures it, and in no later one.
    """
    forget = torch.cuda.reset_peak_memory_stats

    def note_and_forget(device: Any = None) -> None:
        note_peak(torch.cuda.max_memory_allocated(device))
        forget(device)

    torch.cuda.reset_peak_memory_stats = note_and_forget
    try:
        yield
    finally:
        torch.cuda.reset_peak_memory_stats = forget
