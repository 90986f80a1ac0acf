"""Systems and the test set that all of them decoded: what a report is about."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.outputs.logs import DecodingLog, TrainingLog
from speechllm_plugin.scoring.dimensions.duration import durations

SILENCE = "silence"  # the split without speech


class Run(NamedTuple):
    """One training of a system, and what it decoded.

    folder:     what a recipe wrote.
    data:       the folder of its own manifest and vocabularies.
    hypotheses: a text for each utterance, in the manifest's order.
    training:   what its log says; None where there is no log. Likewise decoding.
    silence:    a text for each recording without speech; None where they were not decoded.
    num_averaged: checkpoints that the decoded model is the mean of; None where no log says it.
    """

    folder: Path
    data: Path
    hypotheses: list[str]
    training: TrainingLog | None
    decoding: DecodingLog | None
    silence: list[str] | None
    num_averaged: int | None = None


class System(NamedTuple):
    """A model with one Run per training seed."""

    name: str
    runs: list[Run]


class Study(NamedTuple):
    """Systems on one test set.

    data:    the folder of the test set's manifest, SPLIT.tsv.
    silence: the rows of silence.tsv in that folder; None where it is not there.
    """

    systems: list[System]
    split: str
    data: Path
    utterances: list[Utterance]
    silence: list[Utterance] | None

    @property
    def names(self) -> list[str]:
        return [system.name for system in self.systems]

    @property
    def references(self) -> list[str]:
        return [utterance.tgt_text for utterance in self.utterances]

    @property
    def durations(self) -> np.ndarray:
        """(N,) seconds of speech."""
        return durations(self.utterances)

    @property
    def languages(self) -> list[str]:
        """Of the references."""
        return [utterance.tgt_lang for utterance in self.utterances]

    @property
    def num_seeds(self) -> int:
        return len(self.systems[0].runs)

    def is_whole_set(self, decoding: DecodingLog) -> bool:
        """Whether a log is of as many sentences as the test set has; a log that does not say how many is taken to be."""
        return decoding.num_sentences in (None, len(self.utterances))

    @property
    def is_recognition(self) -> bool:
        """Whether most references are in the language of the speech, or are the transcript."""
        same = [
            utterance.src_lang == utterance.tgt_lang
            if utterance.src_lang and utterance.tgt_lang
            else bool(utterance.tgt_text) and utterance.src_text == utterance.tgt_text
            for utterance in self.utterances
        ]
        return sum(same) > len(same) / 2
