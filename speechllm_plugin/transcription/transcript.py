"""What a transcription gives."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A word of a text; start and end in seconds of the recording."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class ScoredText:
    """A text of an n-best list; the score is its mean log probability per token, base e."""

    text: str
    score: float


@dataclass(frozen=True)
class Segment:
    """The text of a part of a recording.

    start, end: seconds of the recording.
    text, score: those of the best hypothesis.
    n_best: best first.
    words: with their times, if they were asked for.
    """

    start: float
    end: float
    text: str
    score: float
    n_best: tuple[ScoredText, ...]
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """The text of a recording; it has no segment where nobody speaks.

    text: of all segments.
    score: mean log probability per token, base e; 0 without a segment.
    n_best: texts of the whole recording, best first.
    segments: in their order.
    seconds: length of the recording.
    """

    text: str
    score: float
    n_best: tuple[ScoredText, ...]
    segments: tuple[Segment, ...]
    seconds: float

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments."""
        return tuple(word for segment in self.segments for word in segment.words)
