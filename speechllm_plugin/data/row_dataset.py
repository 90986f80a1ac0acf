"""Rows of a manifest as fairseq batches, whether their source is speech or text: order, batches, repeats, and the texts to learn."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import FairseqDataset
from fairseq.data.data_utils_fast import batch_by_size_vec


class RowDataset(FairseqDataset, ABC):
    """Base of the data sets. fairseq's indices are rows, and for the k-th repeat of a row within an epoch k * rows + row.

    A data set says how long the source of a row is (`source_lengths`), in which unit, and how to name a row in errors (`place`).

    Attributes:
        unit: of the length, for errors.
        num_targets: (rows,) tokens of the longest target that a row can have.
        has_tags: targets begin with the tag of their language: it is given to the decoder, not learnt.
        repeats: (rows,) how often a row stands in an epoch, on average; None is once.
        shuffle: order of equal lengths differs with the epoch.
        length_noise: with `shuffle`, rows are ordered by lengths that are off by up to this part of them, so that equal ones part.
        pad, eos: ids of the target dictionary.
        own_share: rank and number of the ranks, where `batch_by_size` gives each of them batches of its own.
    """

    unit: str
    own_share: tuple[int, int] = (0, 1)

    @abstractmethod
    def source_lengths(self, indices) -> np.ndarray: ...

    @abstractmethod
    def place(self, index: int) -> str: ...

    def learnt(self, targets: list[torch.Tensor], width: int = 0):
        """What the decoder reads and learns of targets (U,), padded to `width` at least.

        Returns:
            (B, U) what it reads: end of sentence, then the target without its last token.
            (B, U) what it learns: the target, with padding in place of its tag.
            (B,) lengths of the targets with their tags.
            The number of tokens to learn.
        """
        target, lengths = padded(targets, self.pad, width)
        previous = target.roll(1, dims=1)
        previous[:, 0] = self.eos
        previous.masked_fill_(target == self.pad, self.pad)
        if self.has_tags:
            target[:, 0] = self.pad
        return previous, target, lengths, sum(map(len, targets)) - self.has_tags * len(targets)

    def ordered_indices(self):
        """Longest first, but for `length_noise`; rows of equal length in an order that changes with the epoch if `shuffle`.

        fairseq seeds numpy by (seed, epoch) around this call, the same on every rank.
        """
        indices = np.arange(len(self))
        if self.repeats is not None:
            indices = repeated_rows(self.repeats)
        ties = np.random.permutation(len(indices)) if self.shuffle else indices
        lengths = self.num_tokens_vec(indices)
        if self.shuffle and self.length_noise:
            lengths = lengths * np.random.uniform(1 - self.length_noise, 1 + self.length_noise, len(indices))
        return indices[np.lexsort((ties, -lengths))]

    def batch_by_size(self, indices, max_tokens=None, max_sentences=None, required_batch_size_multiple=1):
        """As fairseq's, but the last rows are a batch too: fairseq drops them unless they are a multiple of the multiple."""
        sizes = self.num_tokens_vec(indices)
        if max_tokens is not None and max_tokens > 0 and len(sizes) and sizes.max() > max_tokens:
            raise ValueError(
                f"{self.place(indices[sizes.argmax()])} has {sizes.max()} {self.unit}, more than a batch may have "
                f"(--max-tokens {max_tokens}): raise --max-tokens"
            )
        return batch_by_size_vec(indices, sizes, max_tokens or -1, max_sentences or -1, required_batch_size_multiple)

    def num_tokens_vec(self, indices):
        """(len(indices),) how much each row counts against --max-tokens."""
        return self.source_lengths(indices)

    def num_tokens(self, index):
        return int(self.num_tokens_vec(index))

    def size(self, index):
        """The two lengths that a task limits: of the source, of the target."""
        return int(self.source_lengths(index)), int(self.num_targets[index % len(self)])

    def filter_indices_by_size(self, indices, max_sizes):
        most_source, most_target = max_sizes if isinstance(max_sizes, (tuple, list)) else (max_sizes, None)
        fits = np.ones(len(indices), dtype=bool)
        if most_source is not None:
            fits &= self.source_lengths(indices) <= most_source
        if most_target is not None:
            fits &= self.num_targets[indices % len(self)] <= most_target
        return indices[fits], indices[~fits].tolist()

    def set_epoch(self, epoch):
        self.epoch = epoch

    def of_epoch(self, rows: Sequence[int]) -> dict[str, Any]:
        """The attributes that change with the epoch, as far as a batch of these rows needs them: workers, which last longer, are told."""
        return {"epoch": self.epoch}

    @property
    def can_reuse_epoch_itr_across_epochs(self):
        return not self.shuffle


def padded(rows: list[torch.Tensor], pad: int, width: int = 0):
    """(B, longest) rows with `pad` behind them, `width` long at least, and their (B,) lengths."""
    together = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
    if together.size(1) < width:
        together = torch.nn.functional.pad(together, (0, 0) * (together.dim() - 2) + (0, width - together.size(1)), value=pad)
    return together, torch.tensor([len(row) for row in rows])


def temperature_repeats(languages: Sequence[str], alpha: float) -> np.ndarray:
    """(rows,) how often each row stands in an epoch so that a language with n rows has a share in proportion to n**alpha.

    An epoch keeps its number of rows; alpha is 1 / temperature.

    Source: Arivazhagan et al. 2019, Massively Multilingual NMT in the Wild (arXiv:1907.05019), section 4.
    """
    _, language, size = np.unique(languages, return_inverse=True, return_counts=True)
    share = size**alpha / (size**alpha).sum()
    return (share * len(languages) / size)[language]


def repeated_rows(repeats: np.ndarray) -> np.ndarray:
    """Row r as often as repeats[r] says, rounded up or down at random so that the sum stays; the k-th time as k * rows + r."""
    order = np.random.permutation(len(repeats))
    ends = np.floor(np.cumsum(repeats[order]) + np.random.random()).astype(np.int64)
    counts = np.empty(len(repeats), dtype=np.int64)
    counts[order] = np.diff(ends, prepend=0)
    rows = np.repeat(np.arange(len(repeats)), counts)
    time = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return time * len(repeats) + rows
