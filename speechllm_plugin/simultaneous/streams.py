"""An utterance as it arrives, and the text that is written of it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from speechllm_plugin.data.audio import SAMPLE_RATE, with_bits
from speechllm_plugin.data.features import WINDOW_SAMPLES, StreamedFilterbanks
from speechllm_plugin.models.speech_encoder import SpeechStates
from speechllm_plugin.simultaneous.alignatt import num_accepted
from speechllm_plugin.simultaneous.incremental_model import Hypothesis, IncrementalModel
from speechllm_plugin.simultaneous.latency_units import LatencyUnit, num_finished


@dataclass(frozen=True)
class Heard:
    """What has arrived of an utterance.

    speech: None where nobody speaks, or no window is complete.
    num_states: of the speech before compression.
    milliseconds: of sound.
    is_all: whether it is the whole utterance.
    seconds: that it took to compute, since the part before.
    hypotheses: of this speech, by the tokens that they begin with. They are the same for every threshold.
    """

    speech: SpeechStates | None
    num_states: int
    milliseconds: float
    is_all: bool
    seconds: float
    hypotheses: dict[tuple[int, ...], Hypothesis] = field(default_factory=dict)


class Listener:
    """An utterance that arrives in parts. Frames are computed once; the encoder reads all of them again with every part."""

    def __init__(self, model: IncrementalModel):
        self.model, self.filterbanks = model, StreamedFilterbanks()
        self.num_samples = 0

    def hear(self, samples: np.ndarray, is_last: bool) -> Heard:
        """All that has arrived, with the next (num_samples,) of 16 kHz.

        Raises:
            ValueError: samples are not finite; the message does not say whose they are.
        """
        start = self.model.clock()
        self.num_samples += len(samples)
        missing = max(0, WINDOW_SAMPLES - self.num_samples) if is_last else 0
        self.filterbanks.accept(np.pad(with_bits(samples, self.model.task.data_config.sample_bits), (0, missing)))
        frames = self.filterbanks.ready()
        speech = self.model.encode(frames) if len(frames) else None
        num_states = self.model.model.encoder.subsampling.num_states(len(frames))
        return Heard(speech, num_states, 1000 * self.num_samples / SAMPLE_RATE, is_last, self.model.clock() - start)


def parts(waveform: np.ndarray, segment_ms: float) -> Iterator[tuple[np.ndarray, bool]]:
    """The waveform (num_samples,) in parts of so many milliseconds, and whether each is the last."""
    size = max(1, round(segment_ms * SAMPLE_RATE / 1000))
    for first in range(0, len(waveform), size):
        yield waveform[first : first + size], first + size >= len(waveform)


class Writer:
    """The text of an utterance, of which no token is taken back.

    Args:
        threshold: --frame-threshold.
        tag: token that the text begins with, for models with languages.

    Attributes:
        text: what is written.
        units: of the text.
    """

    def __init__(self, model: IncrementalModel, threshold: int, unit: LatencyUnit, tag: int | None):
        self.model, self.threshold, self.unit = model, threshold, unit
        self.written: tuple[int, ...] = () if tag is None else (tag,)
        self.text, self.units = "", list[str]()

    def write(self, heard: Heard) -> tuple[int, float]:
        """Go on as far as what has arrived allows.

        Returns:
            The number of units that stay as they were, and the seconds of computing. A unit that stands may still get a full stop: what
            began another word in one hypothesis need not in the next.
        """
        if heard.speech is None:
            return len(self.units), 0.0
        if self.written not in heard.hypotheses:
            heard.hypotheses[self.written] = self.model.continuation(heard.speech, self.written)
        tokens, attended, seconds = heard.hypotheses[self.written]
        num_tokens = len(tokens) - 1  # without the end of sentence
        if not heard.is_all:
            accepted = min(num_tokens, num_accepted(attended, len(self.written), heard.num_states, self.threshold))
            num_tokens = num_finished(tokens, accepted, len(self.written), self.unit, self.model.text)
        self.written = tuple(tokens[:num_tokens])
        before, self.text = self.units, self.model.text(self.written)
        self.units = self.unit.units(self.text)
        num_kept = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, self.units)))
        return num_kept, seconds
