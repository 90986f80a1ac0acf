"""Utterances as fairseq batches: features after normalisation and SpecAugment, token ids made once."""

import gc
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from speechllm_plugin.data import features
from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.data.row_dataset import RowDataset, padded

# fairseq forks workers in every epoch. A worker must not collect garbage that it inherits: freeing a tensor of the GPU, or the
# loader of the last epoch, kills it.
os.register_at_fork(after_in_child=gc.freeze)


@dataclass(frozen=True)
class Example:
    """One utterance of a batch: features (T, C) float32, target (U,) with end of sentence, transcript (W,) without.

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
        sources: per row what `features.read` takes; relative to `root`.
        num_frames: (rows,) frames of 10 ms.
        root: folder of the audio or features.
        read: reads the (T, C) features of a source below a root.
        ids: name of every row, from which the task of a row is drawn.
        targets, transcripts: token ids per row, or None where there are none.
        transcriptions: token ids that replace the target of a row with `transcribe_probability`, drawn from (seed, epoch, id).
        kd_targets: token ids of the teacher's texts per row: one text, or several of which one is drawn from (seed, epoch, id).
        teacher: per row the (U, k) ids and the (U, k) probabilities of a teacher for its target.
        has_tags: targets begin with the tag of their language: it is given to the decoder, not learnt.
        repeats: (rows,) how often a row stands in an epoch, on average; None is once.
        use_cmvn: normalise each utterance's features.
        augment: SpecAugment, for training only; drawn from (seed, epoch, index), the same for any number of workers.
        shuffle: order of equal lengths differs with the epoch.
    """

    unit = "frames"

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
        kd_targets: list[list[np.ndarray]] | None = None,
        teacher: Sequence | None = None,
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
        self.kd_targets, self.teacher = kd_targets, teacher
        longest = [max(texts, key=len) for texts in kd_targets] if kd_targets is not None else None
        possible = [texts for texts in (targets, transcriptions, longest) if texts is not None] or [[()] * len(sources)]
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
                f"{self.place(row)}: the manifest says {self.num_frames[row]} frames (n_frames), but there are {len(states)}: prepare the data again"
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
            None if self.kd_targets is None else torch.from_numpy(self.kd_target(row)),
            None if self.teacher is None else tuple(map(torch.from_numpy, self.teacher[row])),
        )

    def is_transcribed(self, row: int) -> bool:
        """Whether the target of a row is its transcript in this epoch: a function of (seed, epoch, id), the same on every rank."""
        return self.transcriptions is not None and drawn(self.seed, self.epoch, self.ids[row]) < self.transcribe_probability

    def target(self, row: int) -> np.ndarray:
        """The target of a row in this epoch."""
        return (self.transcriptions if self.is_transcribed(row) else self.targets)[row]

    def kd_target(self, row: int) -> np.ndarray:
        """The teacher's text of a row in this epoch; teachers translate, so the transcript stands for it where the task is recognition."""
        if self.is_transcribed(row):
            return self.transcriptions[row]
        texts = self.kd_targets[row]
        return texts[int(drawn(self.seed, self.epoch, self.ids[row], "kd_text") * len(texts))] if len(texts) > 1 else texts[0]

    def collater(self, samples: list[Example]) -> dict:
        """A batch, longest utterance first: net_input {src_tokens (B, T, C), src_lengths (B,), prev_output_tokens (B, U)},
        target (B, U), transcript (B, W), their lengths, id (B,) rows of the manifest, and counts as Python numbers.

        With tags: tag (B,), which stands in prev_output_tokens, and is padding in the target, so that no loss counts it.
        With a teacher: kd_target (B, U') and net_input's kd_prev_output_tokens, teacher_ids and teacher_probabilities (B, U, k).
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
            targets = [example.target for example in samples]
            net_input["prev_output_tokens"], batch["target"], batch["target_lengths"], batch["ntokens"] = self.learnt(targets)
            if self.has_tags:
                batch["tag"] = net_input["prev_output_tokens"][:, 1].clone()
        if self.transcripts is not None:
            batch["transcript"], batch["transcript_lengths"] = padded([example.transcript for example in samples], self.pad)
        if self.kd_targets is not None:
            kd_targets = [example.kd_target for example in samples]
            net_input["kd_prev_output_tokens"], batch["kd_target"], _, batch["kd_ntokens"] = self.learnt(kd_targets)
        if self.teacher is not None:
            for number, name in enumerate(("teacher_ids", "teacher_probabilities")):
                batch[name], _ = padded([example.teacher[number] for example in samples], 0)
        return batch

    def place(self, index: int) -> str:
        """How an error names a row."""
        row = index % len(self)
        source = self.sources[row]
        return f"row {row} ({source})" if isinstance(source, str) else f"row {row}"

    def source_lengths(self, indices):
        return self.num_frames[indices % len(self)]


def drawn(*key) -> float:
    """A number in [0, 1) that is a function of the key, the same in every process."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") / 2**64
