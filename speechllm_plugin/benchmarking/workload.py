"""The work of a measurement: batches of noise of one length, or the utterances of a manifest.

Shapes: B sentences   T frames (10 ms).
"""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from speechllm_plugin.data import features, manifest
from speechllm_plugin.data.data_config import DataConfig

TOKENS_PER_SECOND = 4  # MuST-C v1.0 en-de has about 3.9 subword tokens a second


@dataclass(frozen=True)
class Workload:
    """The size of what is decoded.

    batch:   sentences of a batch.
    seconds: audio of a sentence; their mean with a manifest.
    tokens:  of each text with its end; None: by the seconds.
    beam:    hypotheses of a sentence.
    """

    batch: int
    seconds: float
    tokens: int | None
    beam: int

    def num_tokens(self, num_frames: int) -> int:
        return self.tokens or max(1, round(TOKENS_PER_SECOND * num_frames / features.FRAMES_PER_SECOND))


class Batch(NamedTuple):
    """Sentences that are decoded together.

    features:   (B, T, 80).
    lengths:    (B,) frames of each.
    num_tokens: to which every text is searched.
    """

    features: torch.Tensor
    lengths: torch.Tensor
    num_tokens: int

    def sample(self) -> dict:
        return {"net_input": {"src_tokens": self.features, "src_lengths": self.lengths}}


LARGEST = 10**8  # of each number: what is computed with more leaves the range of 64 bits
SWEPT = {"batch": int, "seconds": float, "tokens": int, "beam": int}


def sweep(base: Workload, words: list[str]) -> list[Workload]:
    """Every combination of `NAME=VALUE,VALUE...`, the last name varying fastest; what is not named is as in `base`.

    Raises:
        ValueError: a name is unknown or twice there, or a value no number or out of range.
    """
    choices = {}
    for word in words:
        name, _, values = word.partition("=")
        if name not in SWEPT or name in choices:
            raise ValueError(f"--sweep takes each of {', '.join(SWEPT)} once, as in seconds=5,10 beam=1,5, but has {word!r}")
        try:
            choices[name] = [SWEPT[name](value) for value in values.split(",")]
        except ValueError as error:
            raise ValueError(f"--sweep {name} takes numbers separated by commas, but has {values!r}") from error
    workloads = [replace(base, **dict(zip(choices, combination))) for combination in itertools.product(*choices.values())]
    for workload in workloads:
        check(workload)
    return workloads


def check(workload: Workload) -> None:
    smallest = {"batch": 1, "seconds": 1 / features.FRAMES_PER_SECOND, "tokens": 1, "beam": 1}
    for name, value in vars(workload).items():
        if value is not None and not smallest[name] <= value <= LARGEST:
            rule = f"at most {LARGEST:,}" if value > LARGEST else f"at least {smallest[name]}"
            raise ValueError(f"{name} must be {rule}, but is {value}: correct --{name} or --sweep")


def mean_seconds(utterances: list[manifest.Utterance]) -> float:
    """The mean seconds of a sentence."""
    return sum(utterance.n_frames for utterance in utterances) / len(utterances) / features.FRAMES_PER_SECOND


def noise(workload: Workload) -> list[Batch]:
    """One batch of the same random features in every run."""
    num_frames = round(workload.seconds * features.FRAMES_PER_SECOND)
    generator = torch.Generator().manual_seed(1)
    speech = torch.randn(workload.batch, num_frames, features.NUM_BINS, generator=generator)
    return [Batch(speech, torch.full((workload.batch,), num_frames), workload.num_tokens(num_frames))]


def of_manifest(path: Path, utterances: list[manifest.Utterance], workload: Workload) -> list[Batch]:
    """The utterances, longest first, normalised; the data configuration beside the manifest says where their features are."""
    root = DataConfig.load(path.parent / "config.yaml").audio_root
    longest_first = sorted(utterances, key=lambda utterance: -utterance.n_frames)
    batches = []
    for start in range(0, len(utterances), workload.batch):
        rows = longest_first[start : start + workload.batch]
        speech = [torch.from_numpy(features.utterance_cmvn(features.read(row.audio, root))) for row in rows]
        lengths = torch.tensor([len(utterance) for utterance in speech])
        padded = torch.nn.utils.rnn.pad_sequence(speech, batch_first=True)
        batches.append(Batch(padded, lengths, workload.num_tokens(padded.size(1))))
    return batches
