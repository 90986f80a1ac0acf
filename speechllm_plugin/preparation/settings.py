"""What `speechllm prepare` was asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechllm_plugin.files.separated_paths import check_one_path
from speechllm_plugin.preparation import hold_out
from speechllm_plugin.preparation.corpora import CORPORA, Corpus
from speechllm_plugin.preparation.vocabulary import VOCABULARY_SUFFIXES

TRANSCRIPT_VOCABULARY = "spm_transcript"
DEFAULT_TRANSCRIBE_PROBABILITY = 0.5  # of joint


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a data folder is made of, and how. Each field is the value of the flag of its name; None where it was not given.

    Raises:
        ValueError: flags contradict each other.
        FileNotFoundError: --transcript-vocab-from or --vocab-from has no such vocabulary.
    """

    corpus: str
    root: str
    source_lang: Sequence[str]
    target_lang: Sequence[str]
    task: str
    out: str
    splits: Sequence[str]
    vocab_size: int | None
    transcript_vocab_size: int | None
    transcript_vocab_from: str | None
    vocab_from: str | None
    transcribe_probability: float | None
    sampling_alpha: float | None
    hold_out: Sequence[hold_out.Condition]
    features: str
    speed_perturbation: Sequence[float]
    specaugment: Mapping[str, int | float]

    def __post_init__(self) -> None:
        check_one_path("--out", self.out)
        if self.transcribe_probability is not None and self.task != "joint":
            raise ValueError(f"--transcribe-probability is for --task joint, but --task is {self.task}: leave it out")
        for flag, source in (("--transcript-vocab-from", self.transcript_vocabulary_folder), ("--vocab-from", self.vocabulary_folder)):
            if source == Path(self.out).resolve():
                raise ValueError(f"{flag} must be another folder than --out, but both are {self.out}")
        if self.speed_perturbation and not self.stores_features:
            raise ValueError("--speed-perturbation needs --features stored: what is computed while training is the recording as it is")
        if self.vocab_from:
            for name in ("vocab_size", "transcript_vocab_size", "transcript_vocab_from"):
                if getattr(self, name) is not None:
                    raise ValueError(f"--{name.replace('_', '-')} and --vocab-from contradict each other: leave one of them out")
        if self.transcript_vocabulary_folder is not None:
            check_files(self.transcript_vocabulary_folder / TRANSCRIPT_VOCABULARY, "--transcript-vocab-from")

    @property
    def facts(self) -> Corpus:
        """The entry of the corpus in the table."""
        return CORPORA[self.corpus]

    @property
    def stores_features(self) -> bool:
        return self.features == "stored"

    @property
    def transcript_vocabulary_folder(self) -> Path | None:
        return Path(self.transcript_vocab_from).resolve() if self.transcript_vocab_from else None

    @property
    def vocabulary_folder(self) -> Path | None:
        return Path(self.vocab_from).resolve() if self.vocab_from else None

    def remembered(self) -> dict[str, Any]:
        """The values, by flag, that a folder is made with once and for all."""
        transcript_source, source = self.transcript_vocabulary_folder, self.vocabulary_folder
        return {
            "corpus": self.corpus,
            "--root": str(Path(self.root).resolve()),
            "--source-lang": " ".join(self.source_lang),
            "--target-lang": " ".join(self.target_lang),
            "--task": self.task,
            "--features": self.features,
            "--specaugment": dict(self.specaugment),
            "--transcript-vocab-from": transcript_source and str(transcript_source),
            "--vocab-from": source and str(source),
            "--transcribe-probability": self.transcribe_probability,
            "--sampling-alpha": self.sampling_alpha,
            "--speed-perturbation": list(self.speed_perturbation) or None,
            "--hold-out": hold_out.describe(self.hold_out) or None,
        }


def check_files(prefix: Path, flag: str) -> None:
    """Raise FileNotFoundError unless there are both files of a vocabulary that a flag asks for."""
    for suffix in VOCABULARY_SUFFIXES:
        path = Path(f"{prefix}{suffix}")
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; {flag} must be a folder with this vocabulary")
