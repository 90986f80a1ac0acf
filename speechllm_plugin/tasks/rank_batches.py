"""Batches of an epoch, shared among the ranks of a training so that all have as many, and counted so that another number of ranks goes on."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from fairseq.data import data_utils
from fairseq.data.iterators import EpochBatchIterator

from speechllm_plugin.tasks.lasting_workers import LastingBatches, Rows

logger = logging.getLogger(__name__)


class RankBatches(LastingBatches):
    """As fairseq's, for training: in every step each rank has a batch, in the order in which one rank would have them.

    fairseq leaves ranks without one at the end of an epoch, which then repeat a batch for nothing. Here the batches that are left for the
    last step are divided, so that it learns from what one process with as many batches an update learns from.

    Attributes:
        depends_on_ranks: another number of ranks would make other batches of the same rows (--num-batch-buckets); `num_shards` is 1 then,
            as the data set gives each rank its own.
        num_ranks: of the training.
    """

    depends_on_ranks: bool
    num_ranks: int

    @classmethod
    def of_ranks(cls, iterator: EpochBatchIterator, num_ranks: int, depends_on_ranks: bool) -> "RankBatches":
        """The same iterator, which fairseq's tasks make, as one of this class."""
        iterator.__class__ = cls
        iterator.num_ranks, iterator.depends_on_ranks = num_ranks, depends_on_ranks
        return iterator

    def ordered_batches(self, epoch: int, fix_batches_to_gpus: bool, shuffle: bool) -> list[Rows]:
        if self.num_shards == 1 or self.grouped_shuffling:
            return super().ordered_batches(epoch, fix_batches_to_gpus, shuffle)
        batches = list(self.frozen_batches)
        if shuffle:
            with data_utils.numpy_seed(self.seed + epoch):  # as fairseq
                np.random.shuffle(batches)
        whole = len(batches) // self.num_shards * self.num_shards
        own = batches[self.shard_id : whole : self.num_shards]
        return own + ([divided(batches[whole:], self.num_shards)[self.shard_id]] if whole < len(batches) else [])

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"num_ranks": self.num_ranks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on in the epoch behind what all ranks together had done, however many they were."""
        before, position = state_dict.get("num_ranks", self.num_ranks), state_dict.get("iterations_in_epoch", 0)
        if position and before != self.num_ranks:
            done = 0 if self.depends_on_ranks else position * before
            again = done % self.num_ranks
            said = f"the checkpoint was made within epoch {state_dict['epoch']} by {before} ranks, and now there are {self.num_ranks}"
            if self.depends_on_ranks:
                logger.warning(f"{said}: the epoch begins anew, as --num-batch-buckets makes other batches for them")
            elif again:
                logger.warning(f"{said}: {again} of its {done:,} batches so far are learnt from again")
            state_dict = state_dict | {"iterations_in_epoch": done // self.num_ranks}
        super().load_state_dict(state_dict)


def divided(batches: Sequence[Rows], number: int) -> list[Rows]:
    """The rows of fewer batches as so many, none longer than it was; some are empty where there are too few rows."""
    parts = list(batches)
    while len(parts) < number and max(map(len, parts)) > 1:
        largest = max(range(len(parts)), key=lambda place: len(parts[place]))
        rows = parts.pop(largest)
        parts += [rows[::2], rows[1::2]]  # rows are in the order of their lengths
    return parts + [[]] * (number - len(parts))
