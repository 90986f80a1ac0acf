"""What a corpus says of one utterance."""

from dataclasses import dataclass

from speechllm_plugin.data.manifest import Utterance


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """An utterance of a corpus whose audio has not been read yet.

    utterance: `n_frames` is 0; `audio` is a whole file.
    place: file of the corpus and position in it, for errors.
    offset_seconds: where the utterance begins in the audio file.
    duration_seconds: its length; None is up to the end of the file.
    speed: how many times as fast as it was recorded the sound is played.
    left_out: why the row is left out, as in "3 rows that are empty"; empty if it is used.
    may_be_empty: recordings of the published corpus are known to be without sound: rows that turn out so are left out; else they are an error.
    """

    utterance: Utterance
    place: str
    offset_seconds: float = 0.0
    duration_seconds: float | None = None
    speed: float = 1.0
    left_out: str = ""
    may_be_empty: bool = False

    @property
    def sound(self) -> tuple[str, float, float | None, float]:
        """File, offset, duration and speed: equal for rows of the same speech."""
        return self.utterance.audio, self.offset_seconds, self.duration_seconds, self.speed
