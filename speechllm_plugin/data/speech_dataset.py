"""Utterances as fairseq batches: features after normalisation and SpecAugment, token ids made once."""

import functools
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fairseq.data import Dictionary

from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.data.batch_shapes import BatchShape, batches, batches_of_rank, shape_of
from speechllm_plugin.data.features import check_stored, utterance_cmvn
from speechllm_plugin.data.features import read as read_features
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.packed import PackedStrings, lengths_of
from speechllm_plugin.data.row_dataset import RowDataset, padded
from speechllm_plugin.data.sent_batches import sendable_zeros, sent_together
from speechllm_plugin.data.speech_texts import SpeechTexts


class SpeechRows:
    """What a data set needs of utterances beside their texts: id, `audio` and number of frames of each."""

    def __init__(self, utterances: Sequence[Utterance] = ()):
        self.ids, self.sources, self.frames = PackedStrings(), PackedStrings(), array("q")
        self.extend(*([getattr(row, name) for row in utterances] for name in ("id", "audio", "n_frames")))

    def extend(self, ids: Sequence[str], sources: Sequence[str], num_frames: Iterable[int]) -> None:
        self.ids.extend(ids)
        self.sources.extend(sources)
        self.frames.extend(num_frames)

    def add(self, others: "SpeechRows") -> None:
        self.ids.add(others.ids)
        self.sources.add(others.sources)
        self.frames.extend(others.frames)

    def __len__(self):
        return len(self.ids)


@dataclass(frozen=True)
class Example:
    """One utterance of a batch: features (T, C) float32, target (U,) with end of sentence, transcript (W,) without.

    index: fairseq's, which tells the repeats of a row.

    Of a teacher: a second target, kd_target (U',), and for every position of the target the k most probable ids and their
    probabilities, teacher (U, k) each.
    """

    index: int
    features: torch.Tensor
    target: torch.Tensor | None
    transcript: torch.Tensor | None
    kd_target: torch.Tensor | None = None
    teacher: tuple[torch.Tensor, torch.Tensor] | None = None


class SpeechTextDataset(RowDataset):
    """Speech and texts of a manifest's rows.

    Args:
        rows: in the order of the texts.
        root: folder that relative `audio` values start from.
        dictionary: of the targets.
        texts: token ids of every row.
        read: reads the (T, C) features of an `audio` value below the root.
        sample_bits: to which sound is rounded, where rows are sound; None leaves it as it is.
        repeats: (rows,) how often a row stands in an epoch, on average; None is once.
        use_cmvn: normalise each utterance's features.
        augment: SpecAugment, for training only; drawn from (seed, epoch, index), the same for any number of workers.
        shuffle, length_noise: whether and how the order differs with the epoch.

    Attributes:
        checked: (rows,) which stored features were compared with their checksum; workers share it, so that each is compared once in a training.
        shapes: of the batches, from batch_shapes.plan_shapes; none: a batch is as wide as its longest utterance and texts.
        must_be_finite: features that are not finite are an error; else the loss shows them.
    """

    unit = "frames"
    shapes: tuple[BatchShape, ...] = ()
    planned: dict[bytes, BatchShape | None] = {}  # indices of a batch -> its shape, in an epoch of several ranks
    must_be_finite = True

    def __init__(
        self,
        rows: SpeechRows,
        root: str | Path | None,
        dictionary: Dictionary,
        texts: SpeechTexts,
        read: Callable[..., np.ndarray] = read_features,
        repeats: np.ndarray | None = None,
        sample_bits: int | None = None,
        use_cmvn: bool = True,
        augment: SpecAugment | None = None,
        shuffle: bool = False,
        length_noise: float = 0.0,
        seed: int = 1,
    ):
        self.ids, self.sources, self.num_frames = rows.ids, rows.sources, np.array(rows.frames)
        self.root, self.texts = root, texts
        self.read = read if sample_bits is None else functools.partial(read, sample_bits=sample_bits)
        self.checked = torch.full([len(rows)], read is not read_features).share_memory_()
        self.num_targets = texts.longest(len(rows))
        self.num_transcripts = np.zeros(len(rows), np.int64) if texts.transcripts is None else lengths_of(texts.transcripts)
        self.pad, self.eos = dictionary.pad(), dictionary.eos()
        self.has_tags, self.repeats = texts.has_tags, repeats
        self.use_cmvn, self.augment, self.seed, self.epoch = use_cmvn, augment, seed, 1
        self.shuffle, self.length_noise = shuffle, length_noise

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, index) -> Example:
        row = index % len(self)
        texts = self.texts
        return Example(
            index,
            torch.from_numpy(np.require(self.row_features(index), np.float32, "CW")),
            None if texts.targets is None else torch.from_numpy(self.target(row)),
            None if texts.transcripts is None else torch.from_numpy(texts.transcripts[row]),
            None if texts.kd_targets is None else torch.from_numpy(self.kd_target(row)),
            None if texts.teacher is None else tuple(map(torch.from_numpy, texts.teacher[row])),
        )

    def row_features(self, index) -> np.ndarray:
        """(T, C) features of a row, normalised and masked.

        Raises:
            ValueError: they cannot be read, are not as long as the manifest says, or are not finite.
        """
        row = index % len(self)
        try:
            features = self.read(self.sources[row], self.root)
            if not self.checked[row]:
                check_stored(self.sources[row], self.root)
                self.checked[row] = True
        except ValueError as error:
            raise ValueError(f"row {row}: {error}") from error
        if len(features) != self.num_frames[row]:
            raise ValueError(
                f"{self.place(row)}: the manifest says {self.num_frames[row]} frames (n_frames), "
                f"but there are {len(features)}: prepare the data again"
            )
        if self.use_cmvn:
            features = utterance_cmvn(features)
        # What is not finite makes its dimension NaN in every normalised frame.
        if self.must_be_finite and not np.isfinite(features[:1] if self.use_cmvn else features).all():
            raise ValueError(f"{self.place(row)}: the features have NaN or infinite values: prepare the data again")
        if self.augment is not None:
            features = self.augment(features, np.random.default_rng((self.seed, self.epoch, int(index))))
        return features

    def target(self, row: int) -> np.ndarray:
        """(U,) the target of a row in this epoch."""
        return self.texts.target(row, (self.seed, self.epoch, self.ids[row]))

    def kd_target(self, row: int) -> np.ndarray:
        """(U',) the teacher's text of a row in this epoch."""
        return self.texts.kd_target(row, (self.seed, self.epoch, self.ids[row]))

    def collater(self, samples: list[Example]) -> dict:
        """A batch, longest utterance first: net_input {src_tokens (B, T, C), src_lengths (B,), prev_output_tokens (B, U)},
        target (B, U), transcript (B, W), their lengths, id (B,) rows of the manifest, and counts as Python numbers.

        With tags: tag (B,), which stands in prev_output_tokens, and is padding in the target, so that no loss counts it.
        With a teacher: kd_target (B, U') and net_input's kd_prev_output_tokens, teacher_ids and teacher_probabilities (B, U, k).
        """
        if not samples:
            return {}
        shape = self.shape(samples)
        samples = sorted(samples, key=lambda example: -len(example.features))
        lengths = [len(example.features) for example in samples]
        _, num_frames, target_width, transcript_width = shape
        features = sendable_zeros(len(samples), num_frames, samples[0].features.size(1))
        for row, example in zip(features, samples):
            row[: len(example.features)] = example.features
        net_input = {"src_tokens": features, "src_lengths": torch.tensor(lengths)}
        batch = {
            "id": torch.tensor([example.index % len(self) for example in samples]),
            "net_input": net_input,
            "nsentences": len(samples),
            "nframes": sum(lengths),
            "target": None,
            "has_shape": shape in self.shapes,
        }
        if self.texts.targets is not None:
            targets = [example.target for example in samples]
            net_input["prev_output_tokens"], batch["target"], batch["target_lengths"], batch["ntokens"] = self.learnt(targets, target_width)
            if self.has_tags:
                batch["tag"] = net_input["prev_output_tokens"][:, 1].clone()
        if self.texts.transcripts is not None:
            batch["transcript"], batch["transcript_lengths"] = padded([example.transcript for example in samples], self.pad, transcript_width)
        if self.texts.kd_targets is not None:
            kd_targets = [example.kd_target for example in samples]
            net_input["kd_prev_output_tokens"], batch["kd_target"], _, batch["kd_ntokens"] = self.learnt(kd_targets, target_width)
        if self.texts.teacher is not None:
            for number, name in enumerate(("teacher_ids", "teacher_probabilities")):
                batch[name], _ = padded([example.teacher[number] for example in samples], 0, target_width)
        return sent_together(batch)

    def lengths(self, indices) -> np.ndarray:
        """(len(indices), 3) frames, target tokens (of the longest possible target) and transcript tokens."""
        rows = indices % len(self)
        return np.stack([self.num_frames[rows], self.num_targets[rows], self.num_transcripts[rows]], axis=1)

    def shape(self, samples: list[Example]) -> BatchShape:
        """What the samples are padded to: one of `shapes`; what is left of an epoch, or has no shapes, only as far as it must."""
        indices = np.array([example.index for example in samples])
        lengths = self.lengths(indices)
        planned = shape_of(lengths, self.shapes) if self.own_share == (0, 1) else self.planned.get(indices.tobytes())
        return planned or BatchShape(len(samples), int(lengths[:, 0].max()), 0, 0)

    def batch_by_size(self, indices, max_tokens=None, max_sentences=None, required_batch_size_multiple=1):
        """Batches of `shapes`, if there are any: each with utterances of its bucket in an order of (seed, epoch)."""
        if not self.shapes:
            return super().batch_by_size(indices, max_tokens, max_sentences, required_batch_size_multiple)
        indices = np.random.default_rng((self.seed, self.epoch)).permutation(indices)
        lengths, (rank, num_ranks) = self.lengths(indices), self.own_share
        if num_ranks == 1:
            return batches(indices, lengths, self.shapes)
        own = batches_of_rank(indices, lengths, self.shapes, rank, num_ranks)
        self.planned = {batch.tobytes(): shape for batch, shape in own}
        return [batch for batch, _ in own]

    def of_epoch(self, rows: Sequence[int]) -> dict[str, Any]:
        key = np.array(rows).tobytes()
        return super().of_epoch(rows) | ({"planned": {key: self.planned[key]}} if key in self.planned else {})

    def place(self, index: int) -> str:
        """How an error names a row."""
        row = index % len(self)
        return f"row {row} ({self.sources[row]})"

    def source_lengths(self, indices):
        return self.num_frames[indices % len(self)]
