"""fairseq-train within this process, with something around each of its updates."""

import contextlib
import functools
import gc
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from fairseq.trainer import Trainer

from speechllm_plugin.host.peak_memory import peaks_noted

# What stands around an update: a function of the trainer, the batches, and the update itself, whose result it returns.
Around = Callable[[Trainer, Sequence[dict[str, Any]], Callable[[], Any]], Any]


def run(flags: Sequence[str], around: Around, note_peak: Callable[[int], None]) -> None:
    """Train as `fairseq-train FLAGS` does, from its own main to its own end, and leave nothing of it on the GPU.

    Args:
        note_peak: gets the most bytes that torch had allocated on the GPU, as often as fairseq's trainer forgets them: in each update.

    Raises:
        torch.OutOfMemoryError, BatchTooLarge: fairseq would leave out the batch, and go on.
        SystemExit: the flags contradict each other.
    """
    from fairseq_cli.train import cli_main  # it sets up logging where nothing has

    forget_earlier_trainings()
    with arguments("fairseq-train", *flags), updates_within(around), peaks_noted(note_peak), only_fatal("fairseq.trainer"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fairseq's calls of what hydra and torch are about to change
        try:
            cli_main()
        finally:
            forget_earlier_trainings()


def forget_earlier_trainings() -> None:
    """Free the memory of models that nobody uses, and begin to count anew; one that ran out of memory lives as long as its error."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@contextlib.contextmanager
def arguments(*words: str) -> Iterator[None]:
    """A block in which the process seems to have been started with these words; fairseq reads some flags from there alone."""
    before, sys.argv = sys.argv, list(words)
    try:
        yield
    finally:
        sys.argv = before


@contextlib.contextmanager
def updates_within(around: Around) -> Iterator[None]:
    """A block in which every update of fairseq's trainers is made by `around`."""
    update = Trainer.train_step

    def train_step(self: Trainer, samples: Sequence[dict[str, Any]], raise_oom: bool = False) -> Any:
        return around(self, samples, functools.partial(update, self, samples, raise_oom=True))

    Trainer.train_step = train_step
    try:
        yield
    finally:
        Trainer.train_step = update


@contextlib.contextmanager
def only_fatal(name: str) -> Iterator[None]:
    """A block in which a logger is silent: fairseq's trainer shows two pages of statistics where the memory does not suffice."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
