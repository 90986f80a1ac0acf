"""Worker processes that read a split for a whole training.

fairseq forks workers for every epoch and every validation. Each time the training then copies every page of memory that it writes to and a
worker has too: a quarter of a second for a small model. Of a short epoch that is more than its reading takes.
"""

import atexit
import functools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fairseq.data.iterators import CountingIterator, EpochBatchIterator
from torch.utils.data import DataLoader, Dataset

from speechllm_plugin.data.row_dataset import RowDataset

Rows = Sequence[int]
TERMINATION_SECONDS = 5  # of a terminated worker; torch's own


class ToldRows(Dataset):
    """The examples of a batch, in a process that was forked in another epoch: each batch brings what changes with the epoch."""

    def __init__(self, data: RowDataset):
        self.data = data

    def __getitems__(self, batch: tuple[dict[str, Any], Rows]) -> list[Any]:
        changed, rows = batch
        vars(self.data).update(changed)
        return [self.data[row] for row in rows]


class LastingWorkers:
    """Worker processes over a data set. They wait between epochs, and end by `end()`, with this object or with the process.

    Attributes:
        are_reading: whether an epoch is neither read to its end nor let go, so that no other can begin.
    """

    def __init__(self, data: RowDataset, number: int, timeout: int):
        self.batches: list[tuple[dict[str, Any], Rows]] = []  # of the epoch, for the sampler
        self.data, self.number = data, number
        self._loader = DataLoader(
            ToldRows(data),
            batch_sampler=self.batches,
            collate_fn=data.collater,
            num_workers=number,
            timeout=timeout,
            pin_memory=True,
            persistent_workers=True,
        )
        self._epoch: Callable[[], Iterator[Any] | None] = lambda: None
        self.end = weakref.finalize(self, shut_down, iter(self._loader))
        atexit.register(self.end)  # before torch's own, which on a GPU waits for each worker for 5 s

    @property
    def are_reading(self) -> bool:
        return self._epoch() is not None

    def read(self, batches: Sequence[Rows]) -> Iterator[Any]:
        """What the data set collates of each batch, as of now: the first ones are begun at once."""
        assert not self.are_reading
        self.batches[:] = [(self.data.of_epoch(rows), rows) for rows in batches]
        read = (batch for batch in iter(self._loader))
        self._epoch = weakref.ref(read)
        return read


def shut_down(loaded: Any) -> None:
    """End the processes of torch's iterator."""
    try:
        loaded._shutdown_workers()
    except RuntimeError as error:
        # From Python 3.12 on no thread can start at exit, as to tell a worker that has never been told anything; torch has terminated it then.
        if "at interpreter shutdown" not in str(error):
            raise
        for worker in loaded._workers:
            worker.join(TERMINATION_SECONDS)


class EpochOfWorkers:
    """One epoch of LastingWorkers: what fairseq takes for the sampler of batches and for the loader."""

    def __init__(self, workers: LastingWorkers, ordered_batches: Callable[[int], Sequence[Rows]]):
        self.workers, self.ordered_batches = workers, ordered_batches

    def make_batches_for_epoch(self, epoch: int, offset: int = 0) -> None:
        self.batches = self.ordered_batches(epoch)[offset:]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return self.workers.read(self.batches)


class LastingBatches(EpochBatchIterator):
    """As fairseq's; its workers are those of a task, which last longer than an epoch.

    While they are still in an epoch, as when the training data are validated on, others are forked that end with theirs.

    Attributes:
        all_workers: of the task, by data set; None leaves the workers to fairseq.
    """

    all_workers: dict[RowDataset, LastingWorkers] | None = None

    @classmethod
    def of(cls, iterator: EpochBatchIterator, all_workers: dict[RowDataset, LastingWorkers]) -> "LastingBatches":
        """The same iterator, which fairseq's tasks make, as one of this class."""
        iterator.__class__ = cls
        iterator.all_workers = all_workers
        return iterator

    def _get_iterator_for_epoch(self, epoch: int, shuffle: bool, fix_batches_to_gpus: bool = False, offset: int = 0) -> CountingIterator | None:
        workers = self.workers()
        self.reuse_dataloader = workers is not None and not workers.are_reading
        if self.reuse_dataloader:
            order = functools.partial(self.ordered_batches, fix_batches_to_gpus=fix_batches_to_gpus, shuffle=shuffle)
            self.dataloader = self.epoch_batch_sampler = EpochOfWorkers(workers, order)
        counted = super()._get_iterator_for_epoch(epoch, shuffle, fix_batches_to_gpus, offset)
        return None if offset > 0 and not len(self.epoch_batch_sampler) else counted

    def workers(self) -> LastingWorkers | None:
        """Those of the data set, which begin here; None where there are to be none."""
        if self.all_workers is None or not self.num_workers:
            return None
        workers = self.all_workers.get(self.dataset)
        if workers is None or workers.number != self.num_workers:
            self.end_workers()
            workers = self.all_workers[self.dataset] = LastingWorkers(self.dataset, self.num_workers, self.timeout)
        return workers

    def end_workers(self) -> None:
        if self.all_workers is not None and self.dataset in self.all_workers:
            self.all_workers.pop(self.dataset).end()
