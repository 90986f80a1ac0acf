"""What a report is asked to show."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechllm_plugin.reporting.results import Settings


@dataclass(frozen=True)
class Options:
    """The choices of a report.

    metrics:          names; None for those of the task. The first one is that of slices and utterances.
    slices:           dimensions or columns of the manifest; None for all whose facts are there.
    speakers:         a TSV of columns by speaker that the manifest lacks.
    native:           a YAML of native accents, in place of scoring/native.yaml.
    settings:         of the resampling.
    num_examples:     utterances with the greatest losses and differences.
    utterances:       ids of utterances to show as well.
    with_words:       whether the words that training lacks are listed.
    with_audio:       whether utterances can be played.
    with_checkpoints: whether average.pt is read, for attention and compression rates.
    device:           of the checkpoints.
    """

    metrics: Sequence[str] | None = None
    slices: Sequence[str] | None = None
    speakers: Path | None = None
    native: Path | None = None
    settings: Settings = Settings()
    num_examples: int = 6
    utterances: Sequence[str] = ()
    with_words: bool = True
    with_audio: bool = True
    with_checkpoints: bool = True
    device: str = "cpu"
