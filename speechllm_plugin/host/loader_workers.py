"""The worker processes of fairseq's data loaders, which every epoch and every validation starts anew; a task may have others, which last."""

import functools
from collections.abc import Iterator
from typing import Any

from fairseq.data.iterators import BufferedIterator, CountingIterator, EpochBatchIterator


def end_with_their_epoch() -> None:
    """Let workers end with the last batch of their epoch.

    fairseq never asks for a batch behind the last one, after which torch would end them. What then holds them is garbage of a cycle, and
    when that is collected, the queue that would tell a worker to end may be gone first: the main process waits for 5 s, and kills it.
    """
    loaded = EpochBatchIterator._get_iterator_for_epoch

    @functools.wraps(loaded)
    def get_iterator_for_epoch(self: EpochBatchIterator, *args: Any, **kwargs: Any) -> CountingIterator | None:
        counted = loaded(self, *args, **kwargs)
        if counted is not None and not isinstance(counted._itr, BufferedIterator):  # which reads to the end by itself
            counted._itr = LoadedBatches(counted._itr, counted.total - counted.n)
        return counted

    EpochBatchIterator._get_iterator_for_epoch = get_iterator_for_epoch


class LoadedBatches(Iterator[Any]):
    """The batches of a loader, which is let go with the last one, and its workers with it."""

    def __init__(self, batches: Iterator[Any], number: int):
        self.batches, self.number = batches, number

    def __next__(self) -> Any:
        batch = next(self.batches)
        self.number -= 1
        if self.number <= 0:
            self.batches = iter(())
        return batch

    def take(self, number: int) -> None:
        """No more than so many batches from here: fairseq calls it for --max-valid-steps and --skip-remainder-batch."""
        self.number = min(self.number, number)
