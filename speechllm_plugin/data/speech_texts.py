"""The texts that a speech model learns to write, and which of them each row has in an epoch."""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from speechllm_plugin.data.packed import lengths_of, longest_lengths

DrawKey = tuple[Hashable, ...]


@dataclass(frozen=True)
class SpeechTexts:
    """The token ids of a data set's texts, row by row; a field is None where there are no such texts.

    Which text a row has is a function of the key of the draw, (seed, epoch, id of the row): the same on every rank, and in a resumed run.

    targets: (U,) per row, what the decoder learns, with end of sentence.
    transcripts: (W,) per row, what the CTC head learns, without end of sentence.
    asr_targets: (U,) per row, the transcripts as the decoder learns them; a row has its own as target with `transcribe_probability`.
    kd_targets: the teacher's texts per row, (U',) each: one text, or several of which one is drawn.
    teacher: per row the (U, k) ids and the (U, k) probabilities of a teacher for its target.
    has_tags: all but transcripts begin with the tag of their language, which is given to the decoder and not learnt.
    """

    targets: Sequence[np.ndarray] | None = None
    transcripts: Sequence[np.ndarray] | None = None
    asr_targets: Sequence[np.ndarray] | None = None
    transcribe_probability: float = 0.0
    kd_targets: Sequence[Sequence[np.ndarray]] | None = None
    teacher: Sequence[tuple[np.ndarray, np.ndarray]] | None = None
    has_tags: bool = False

    def add(self, others: "SpeechTexts") -> None:
        """Add texts of more rows, of the same kinds; both are packed."""
        for name in ("targets", "transcripts", "asr_targets", "kd_targets"):
            if getattr(self, name) is not None:
                getattr(self, name).add(getattr(others, name))

    def longest(self, num_rows: int) -> np.ndarray:
        """(rows,) tokens of the longest text that a row can have the decoder write; 0 where there is none."""
        possible = [lengths_of(texts) for texts in (self.targets, self.asr_targets) if texts is not None]
        if self.kd_targets is not None:
            possible.append(longest_lengths(self.kd_targets))
        return np.max(possible, axis=0) if possible else np.zeros(num_rows, dtype=np.int64)

    def is_transcribed(self, key: DrawKey) -> bool:
        """Whether the target of a row is its transcript."""
        return self.asr_targets is not None and drawn(*key) < self.transcribe_probability

    def target(self, row: int, key: DrawKey) -> np.ndarray:
        return (self.asr_targets if self.is_transcribed(key) else self.targets)[row]

    def kd_target(self, row: int, key: DrawKey) -> np.ndarray:
        """The teacher's text of a row. Teachers translate: where the target is the transcript, it stands for the teacher's text, too."""
        if self.is_transcribed(key):
            return self.asr_targets[row]
        texts = self.kd_targets[row]
        return texts[int(drawn(*key, "kd_text") * len(texts))] if len(texts) > 1 else texts[0]


def drawn(*key: Hashable) -> float:
    """A number in [0, 1) that is a function of the key, the same in every process."""
    return int.from_bytes(hashlib.blake2b(repr(key).encode(), digest_size=8).digest(), "big") / 2**64
