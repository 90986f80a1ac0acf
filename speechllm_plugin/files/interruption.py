"""Ctrl-C, SIGTERM and a closed terminal: a command cleans up, ends its worker processes, says so in one line, and dies of the signal.

So its status is 130 or 143 in a shell, and a script that runs it ends as well instead of going on with the next command.
"""

import atexit
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType

# What ends a process without a chance to clean up, unless it is caught. SIGINT is Python's KeyboardInterrupt already.
CAUGHT = (signal.SIGTERM, signal.SIGHUP)

SECONDS_TO_END = 5  # that a worker process has

# What is undone when this process ends, also when it dies of a signal, where Python calls nothing.
until_the_end = contextlib.ExitStack()
atexit.register(until_the_end.close)


class Terminated(KeyboardInterrupt):
    """Raised by a signal of CAUGHT, so that all that undoes itself after Ctrl-C does so, too."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def catch_signals() -> None:
    """From now on, signals of CAUGHT are raised in the main thread, except those that somebody ignores, as nohup, or catches."""
    if threading.current_thread() is threading.main_thread():
        for number in CAUGHT:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _raise)
        _leave_forked_processes_alone()


def end_program(name: str) -> None:
    """Let this process, a command of this name, end so, wherever the interruption is raised."""
    catch_signals()
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # A worker that the signal ended first is another error, raised before or after.
        causes = [error]
        while causes[-1].__context__ is not None:
            causes.append(causes[-1].__context__)
        for cause in causes:
            if isinstance(cause, KeyboardInterrupt):
                end(name, cause)
        previous(kind, error, trace)

    sys.excepthook = hook


@contextlib.contextmanager
def signals_caught() -> Iterator[None]:
    """A block in which they are; afterwards they do what they did."""
    before = {number: signal.getsignal(number) for number in CAUGHT}
    catch_signals()
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def end(program: str, interruption: KeyboardInterrupt) -> None:
    """End this process as its signal would have done, with one line; its worker processes first."""
    number = interruption.number if isinstance(interruption, Terminated) else signal.SIGINT
    for each in (signal.SIGINT, *CAUGHT):
        signal.signal(each, signal.SIG_IGN)
    try:
        for worker in multiprocessing.active_children():
            worker.terminate()
            worker.join(SECONDS_TO_END)
            worker.kill()  # of one that does not hear
            worker.join()
        until_the_end.close()
        print(f"{program}: stopped by {signal.Signals(number).name}", file=sys.stderr)
        sys.stdout.flush()
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _raise(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not end the cleaning up
    raise Terminated(number)


@functools.cache
def _leave_forked_processes_alone() -> None:
    """They die of the signals: a worker has nothing to clean up, and nobody reads its traceback.

    While a process is forked the signals wait, as its first steps are not to be interrupted.
    """

    def reset() -> None:
        for number in CAUGHT:
            if signal.getsignal(number) is _raise:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT),
        after_in_child=reset,
    )
