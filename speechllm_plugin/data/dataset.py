"""Utterances as fairseq batches: features after normalisation and SpecAugment, token ids made once."""

import gc
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fairseq.data import FairseqDataset
from fairseq.data.data_utils_fast import batch_by_size_vec

from speechllm_plugin.data import features
from speechllm_plugin.data.augmentation import SpecAugment

# fairseq forks workers in every epoch. A worker must not collect garbage that it inherits: freeing a tensor of the GPU, or the
# loader of the last epoch, kills it.
os.register_at_fork(after_in_child=gc.freeze)


@dataclass(frozen=True)
class Example:
    """One utterance of a batch: features (T, C) float32, target (U,) with end of sentence, transcript (W,) without."""

    index: int
    features: torch.Tensor
    target: torch.Tensor | None
    transcript: torch.Tensor | None


class SpeechTextDataset(FairseqDataset):
    """Rows of a manifest. fairseq's indices are rows, and for the k-th repeat of a row within an epoch k * rows + row.

    Args:
        sources: per row what `features.read` takes; relative to `root`.
        num_frames: (rows,) frames of 10 ms.
        root: folder of the audio or features.
        read: reads the (T, C) features of a source below a root.
        ids: name of every row, from which the task of a row is drawn.
        targets, transcripts: token ids per row, or None where there are none.
        transcriptions: token ids that replace the target of a row with `transcribe_probability`, drawn from (seed, epoch, id).
        has_tags: targets begin with the tag of their language: it is given to the decoder, not learnt.
        repeats: (rows,) how often a row stands in an epoch, on average; None is once.
        use_cmvn: normalise each utterance's features.
        augment: SpecAugment, for training only; drawn from (seed, epoch, index), the same for any number of workers.
        shuffle: order of equal lengths differs with the epoch.
    """

    def __init__(
        self,
        sources: list[str],
        num_frames,
        root,
        dictionary,
        read: Callable = features.read,
        ids: list[str] | None = None,
        targets: list[np.ndarray] | None = None,
        transcripts: list[np.ndarray] | None = None,
        transcriptions: list[np.ndarray] | None = None,
        transcribe_probability: float = 0.0,
        has_tags: bool = False,
        repeats: np.ndarray | None = None,
        use_cmvn: bool = True,
        augment: SpecAugment | None = None,
        shuffle: bool = False,
        seed: int = 1,
    ):
        self.sources, self.root, self.read = sources, root, read
        self.num_frames = np.asarray(num_frames, dtype=np.int64)
        self.ids, self.targets, self.transcripts, self.transcriptions = ids, targets, transcripts, transcriptions
        self.transcribe_probability, self.has_tags, self.repeats = transcribe_probability, has_tags, repeats
        possible = [texts for texts in (targets, transcriptions) if texts is not None] or [[()] * len(sources)]
        self.num_targets = np.array([[len(text) for text in texts] for texts in possible], dtype=np.int64).max(axis=0)
        self.pad, self.eos = dictionary.pad(), dictionary.eos()
        self.use_cmvn, self.augment, self.shuffle, self.seed, self.epoch = use_cmvn, augment, shuffle, seed, 1

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, index) -> Example:
        row = index % len(self)
        try:
            states = self.read(self.sources[row], self.root)
        except ValueError as error:
            raise ValueError(f"row {row}: {error}") from error
        if len(states) != self.num_frames[row]:
            raise ValueError(
                f"{self.place(row)}: the manifest says {self.num_frames[row]} frames (n_frames), but there are {len(states)}: "
                "prepare the data again"
            )
        if self.use_cmvn:
            states = features.utterance_cmvn(states)
        if self.augment is not None:
            states = self.augment(states, np.random.default_rng((self.seed, self.epoch, int(index))))
        return Example(
            row,
            torch.from_numpy(np.require(states, np.float32, "CW")),
            None if self.targets is None else torch.from_numpy(self.target(row)),
            None if self.transcripts is None else torch.from_numpy(self.transcripts[row]),
        )

    def target(self, row: int) -> np.ndarray:
        """The target of a row in this epoch: a function of (seed, epoch, id), whatever was drawn before and on whichever rank."""
        if self.transcriptions is None or drawn(self.seed, self.epoch, self.ids[row]) >= self.transcribe_probability:
            return self.targets[row]
        return self.transcriptions[row]

    def collater(self, samples: list[Example]) -> dict:
        """A batch, longest utterance first: net_input {src_tokens (B, T, C), src_lengths (B,), prev_output_tokens (B, U)},
        target (B, U), transcript (B, W), their lengths, id (B,) rows of the manifest, and counts as Python numbers.

        With tags: tag (B,), which stands in prev_output_tokens, and is padding in the target, so that no loss counts it.
        """
        if not samples:
            return {}
        samples = sorted(samples, key=lambda example: -len(example.features))
        lengths = [len(example.features) for example in samples]
        speech = torch.zeros(len(samples), lengths[0], samples[0].features.size(1))
        for row, example in zip(speech, samples):
            row[: len(example.features)] = example.features
        net_input = {"src_tokens": speech, "src_lengths": torch.tensor(lengths)}
        batch = {
            "id": torch.tensor([example.index for example in samples]),
            "net_input": net_input,
            "nsentences": len(samples),
            "nframes": sum(lengths),
            "target": None,
        }
        if self.targets is not None:
            batch["target"], batch["target_lengths"] = padded([example.target for example in samples], self.pad)
            batch["ntokens"] = sum(len(example.target) - self.has_tags for example in samples)
            previous = batch["target"].roll(1, dims=1)                  # end of sentence, then the target without its last
            previous[:, 0] = self.eos
            net_input["prev_output_tokens"] = previous.masked_fill_(batch["target"] == self.pad, self.pad)
            if self.has_tags:
                batch["tag"] = batch["target"][:, 0].clone()
                batch["target"][:, 0] = self.pad
        if self.transcripts is not None:
            batch["transcript"], batch["transcript_lengths"] = padded([example.transcript for example in samples], self.pad)
        return batch

    def ordered_indices(self):
        """Longest first; rows of equal length in an order that changes with the epoch if `shuffle`.

        fairseq seeds numpy by (seed, epoch) around this call, the same on every rank.
        """
        indices = np.arange(len(self))
        if self.repeats is not None:
            indices = repeated_rows(self.repeats)
        ties = np.random.permutation(len(indices)) if self.shuffle else indices
        return indices[np.lexsort((ties, -self.num_frames[indices % len(self)]))]

    def batch_by_size(self, indices, max_tokens=None, max_sentences=None, required_batch_size_multiple=1):
        """As fairseq's, but the last rows are a batch too: fairseq drops them unless they are a multiple of the multiple."""
        sizes = self.num_tokens_vec(indices)
        if max_tokens is not None and max_tokens > 0 and len(sizes) and sizes.max() > max_tokens:
            raise ValueError(
                f"{self.place(indices[sizes.argmax()])} has {sizes.max()} frames, more than a batch may have (--max-tokens {max_tokens}): "
                "raise --max-tokens"
            )
        return batch_by_size_vec(indices, sizes, max_tokens or -1, max_sentences or -1, required_batch_size_multiple)

    def place(self, index: int) -> str:
        """How an error names a row."""
        row = index % len(self)
        source = self.sources[row]
        return f"row {row} ({source})" if isinstance(source, str) else f"row {row}"

    def num_tokens(self, index):
        return int(self.num_frames[index % len(self)])

    def num_tokens_vec(self, indices):
        return self.num_frames[indices % len(self)]

    def size(self, index):
        return int(self.num_frames[index % len(self)]), int(self.num_targets[index % len(self)])

    def filter_indices_by_size(self, indices, max_sizes):
        most_frames, most_tokens = max_sizes if isinstance(max_sizes, (tuple, list)) else (max_sizes, None)
        fits = np.ones(len(indices), dtype=bool)
        if most_frames is not None:
            fits &= self.num_tokens_vec(indices) <= most_frames
        if most_tokens is not None:
            fits &= self.num_targets[indices % len(self)] <= most_tokens
        return indices[fits], indices[~fits].tolist()

    def set_epoch(self, epoch):
        self.epoch = epoch

    @property
    def can_reuse_epoch_itr_across_epochs(self):
        return not self.shuffle


def padded(rows: list[torch.Tensor], pad: int):
    """(B, longest) rows with `pad` behind them, and their (B,) lengths."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad), torch.tensor([len(row) for row in rows])


def drawn(*key) -> float:
    """A number in [0, 1) that is a function of the key, the same in every process."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") / 2**64


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
