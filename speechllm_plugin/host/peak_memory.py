"""The last line of fairseq-generate's log: the most memory that decoding took."""

import atexit
import functools
import resource
import sys

import torch

from speechllm_plugin.host import stock_command

MIB = 2**20
RESIDENT_UNIT = 1 if sys.platform == "darwin" else 2**10  # of ru_maxrss: bytes on macOS, KiB on Linux


def log_at_exit() -> None:
    """Let this process end with `peak memory: process 812 MiB, GPU 1,234 MiB` if it is fairseq-generate; elsewhere nothing changes."""
    if stock_command.name() == "fairseq-generate":
        _register()


@functools.cache
def _register() -> None:
    """Once per process, however many generators it builds."""
    atexit.register(_log)


def _log() -> None:
    # Not through fairseq's logger: it may write to the file of --results-path, which is closed by now. The recipes' log has stderr.
    # After an error nothing was decoded to its end, and the error is the last line.
    if not hasattr(sys, "last_value"):
        print(line(), file=sys.stderr)


def line() -> str:
    """What the process had resident, and what torch had allocated on its GPU (weights included) at the worst moment, in whole MiB."""
    parts = [f"process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RESIDENT_UNIT / MIB:,.0f} MiB"]
    on_gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    if on_gpu:  # 0: --cpu where there is a GPU
        parts.append(f"GPU {on_gpu / MIB:,.0f} MiB")
    return f"peak memory: {', '.join(parts)}"
