"""Ranks that have no batch in the last step of an epoch, and compute one for nothing so that all wait for the same sums.

fairseq then counts nothing of the rank's whole update: with --update-freq also not the tokens of its other batches, whose gradients it
adds up, so that the update is divided by too few. Here the task leaves out the one batch.
"""

import functools
from typing import Any

LEAVE_OUT = "is_repeated"  # in a batch of an idle rank


def leave_out_single_batches() -> None:
    """Let fairseq's trainer hand such a batch to the task of this package as one that it must leave out."""
    from fairseq.trainer import Trainer

    prepared = Trainer._prepare_sample

    @functools.wraps(prepared)
    def prepare_sample(self: Trainer, sample: Any, is_dummy: bool = False) -> tuple[Any, bool]:
        sample, is_repeated = prepared(self, sample, is_dummy)
        if is_repeated and self.model.training and getattr(self.task, "leaves_out_batches", False):
            return {**sample, LEAVE_OUT: True}, False
        return sample, is_repeated

    Trainer._prepare_sample = prepare_sample
