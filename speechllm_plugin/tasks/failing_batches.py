"""Batches that a training cannot learn from: which rows they have, and whether it goes on without them."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from speechllm_plugin.text import out_of_memory

logger = logging.getLogger(__name__)

ROWS_SHOWN = 5
# A share says little about a handful of updates: the first ones count as so many.
FEWEST_UPDATES = 1000
Batch = Mapping[str, Any]


class FailingBatches:
    """What becomes of updates whose gradient is not finite, as `host.training_failures` finds them.

    Args:
        share: of all updates that may be left out, from 0 (none: the first one ends the training).

    Attributes:
        num_skipped: updates that were left out.

    Raises:
        ValueError: the share is not from 0 to 1.
    """

    def __init__(self, share: float):
        if not 0 <= share <= 1:
            raise ValueError(f"--skip-bad-batches must be from 0 to 1, but is {share}")
        self.share, self.num_skipped = share, 0
        # Of the last two updates, the newest last: an optimizer may say in the next one only that a gradient was not finite, if none may be left out.
        self.samples: deque[Sequence[Batch]] = deque(maxlen=2)
        self.statistics: list[torch.Tensor] = []  # before the newest

    def before_update(self, trainer: Any, samples: Sequence[Batch]) -> None:
        """Keep the batches, and what they change before their gradient is known: running statistics, where an update may be left out."""
        self.samples.append(samples)
        if self.share:
            current = _running_statistics(trainer.model)
            self.statistics = self.statistics or [torch.empty_like(each) for each in current]
            _copy(self.statistics, current)

    def skip(self, trainer: Any) -> None:
        """Undo an update whose gradient is not finite, and count it.

        Raises:
            ValueError: more than the share of the updates had to be left out.
        """
        is_late = getattr(trainer.optimizer, "late_norm", None) is not None and len(self.samples) == 2
        age = 2 if is_late else 1
        self.num_skipped += 1
        num_updates = trainer.get_num_updates() + self.num_skipped
        place = f"update {trainer.get_num_updates() + 2 - age}: the loss or its gradient is not finite"
        rows = described_rows(self.samples[-age], trainer.task.datasets[trainer.cfg.dataset.train_subset])
        if self.num_skipped > self.share * max(num_updates, FEWEST_UPDATES):
            remedy = (
                "prepare these rows again, or leave them out; lower --lr if they are sound; --skip-bad-batches SHARE goes on without such batches"
            )
            if self.share:
                remedy = (
                    f"{self.num_skipped:,} of {num_updates:,} updates are more than --skip-bad-batches {self.share:g} allows: raise it, or {remedy}"
                )
            raise ValueError(f"{place}; {rows}; {remedy}")
        assert age == 1  # what is left out is undone here, before another update
        _copy(_running_statistics(trainer.model), self.statistics)
        trainer.zero_grad()
        logger.warning(f"{place}; {rows}; left out, as {self.num_skipped - 1:,} before it (--skip-bad-batches {self.share:g})")

    def too_large(self, samples: Sequence[Batch], error: BaseException) -> str:
        """The message about batches that do not fit into memory."""
        shape = max((each for each in samples if each), key=lambda batch: batch["net_input"]["src_tokens"].numel())
        return f"{out_of_memory.reason(error)} for a batch of {described_shape(shape)}: {TRAINING_REMEDY}"


TRAINING_REMEDY = "lower --max-tokens or --batch-size (with a higher --update-freq an update stays as large), or --max-source-positions"
DECODING_REMEDY = "lower --max-tokens, --batch-size or --beam"


@contextmanager
def naming_shape(sample: Batch) -> Iterator[None]:
    """In the block, memory that is short in decoding is an error that names the batch."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory.is_meant(error):
            raise
        message = f"{out_of_memory.reason(error)} for a batch of {described_shape(sample)}: {DECODING_REMEDY}"
        raise out_of_memory.BatchTooLarge(message) from error


def described_shape(batch: Batch) -> str:
    """`32 rows with up to 1,204 frames and 57 tokens of text`."""
    source, target = batch["net_input"]["src_tokens"], batch.get("target")
    unit = "frames" if source.is_floating_point() else "tokens of source"
    texts = "" if target is None else f" and {target.size(1):,} tokens of text"
    return f"{source.size(0):,} rows with up to {source.size(1):,} {unit}{texts}"


def described_rows(samples: Sequence[Batch], dataset: Any) -> str:
    """The rows of batches, or those of them whose features are not finite: id, row, file and lengths."""
    rows, damaged = [], []
    for batch in filter(None, samples):
        finite = torch.isfinite(batch["net_input"]["src_tokens"]).flatten(1).all(1)
        rows += batch["id"].tolist()
        damaged += batch["id"][~finite].tolist()
    chosen = damaged or rows
    what = "rows whose features are not finite" if damaged else "features are finite in all rows of the batch"
    named = "; ".join(_described_row(dataset, row) for row in chosen[:ROWS_SHOWN])
    more = len(chosen) - ROWS_SHOWN
    return f"{what} ({len(chosen):,} of {len(rows):,}): {named}" + (f"; and {more:,} more" if more > 0 else "")


def _described_row(dataset: Any, row: int) -> str:
    length, num_tokens = dataset.size(row)
    return f"utterance {dataset.ids[row]}, {dataset.place(row)}, {length} {dataset.unit}, {num_tokens} tokens of text"


def _running_statistics(model: torch.nn.Module) -> list[torch.Tensor]:
    return [buffer for module in model.modules() if isinstance(module, _BatchNorm) for buffer in module.buffers(recurse=False)]


def _copy(targets: Sequence[torch.Tensor], sources: Sequence[torch.Tensor]) -> None:
    """One operation on a GPU, whatever the number of layers."""
    if not targets:  # the model has no batch norm
        return
    with torch.no_grad():
        torch._foreach_copy_(list(targets), list(sources))
