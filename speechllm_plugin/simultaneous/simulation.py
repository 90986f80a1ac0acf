"""The rows of a manifest, decoded while their sound arrives."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data import audio
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.recording import recording_of
from speechllm_plugin.simultaneous.incremental_model import IncrementalModel
from speechllm_plugin.simultaneous.latency_units import LatencyUnit
from speechllm_plugin.simultaneous.streams import Heard, Listener, Writer, parts

WHOLE = "offline"  # the threshold of decoding that waits for the whole utterance


class Simulated(NamedTuple):
    """What happened with an utterance under a threshold.

    threshold: --frame-threshold, or WHOLE.
    text: what was written.
    delays: per unit of the text, milliseconds of sound that had arrived when it was written as it is.
    elapsed: the same with the time of all computing until then: nothing is computed while sound arrives.
    source_ms: length of the sound.
    """

    threshold: int | str
    text: str
    delays: list[float]
    elapsed: list[float]
    source_ms: float


def sounds(path: Path, utterances: Sequence[Utterance]) -> list[tuple[str, Path]]:
    """Per row of a manifest the arguments with which `audio.read` gives its sound.

    Raises:
        ValueError: a row has stored features and no sound.
    """
    file = path.parent / "config.yaml"
    config = DataConfig.load(file) if file.is_file() else DataConfig(file, {})
    found = [recording_of(utterance, config) for utterance in utterances]
    if None in found:
        row = found.index(None)
        raise ValueError(
            f"{path}:{row + 2}: must name the sound, which arrives in parts, but has stored features only (utterance {utterances[row].id}): "
            "prepare the data again, or put files of sound into the column audio"
        )
    return [each for each in found if each is not None]


class Simulation:
    """The simulation of utterances, one at a time, under several thresholds.

    Args:
        thresholds: of --frame-threshold.
        segment_ms: milliseconds of sound that arrive at a time.
    """

    def __init__(self, model: IncrementalModel, thresholds: Sequence[int], segment_ms: float, unit: LatencyUnit):
        self.model, self.thresholds, self.segment_ms, self.unit = model, thresholds, segment_ms, unit

    def __call__(self, waveform: np.ndarray, tag: int | None) -> Iterator[Simulated]:
        """What happens with a waveform (num_samples,) of 16 kHz, for each threshold, then for decoding that waits for all of it.

        What does not depend on the threshold is computed once, and its time is counted for each.
        """
        listener = Listener(self.model)
        heard = [listener.hear(*part) for part in parts(waveform, self.segment_ms)]
        for threshold in self.thresholds:
            yield self.under(threshold, heard, Writer(self.model, threshold, self.unit, tag))
        whole = Listener(self.model).hear(waveform, True)
        yield self.under(WHOLE, [whole], Writer(self.model, 0, self.unit, tag))

    def under(self, threshold: int | str, parts_heard: Sequence[Heard], writer: Writer) -> Simulated:
        delays: list[float] = []
        elapsed: list[float] = []
        seconds = 0.0
        for heard in parts_heard:
            num_kept, computing = writer.write(heard)
            seconds += heard.seconds + computing
            num_new = len(writer.units) - num_kept
            delays[num_kept:] = [heard.milliseconds] * num_new
            elapsed[num_kept:] = [heard.milliseconds + 1000 * seconds] * num_new
        return Simulated(threshold, writer.text, delays, elapsed, parts_heard[-1].milliseconds)


def waveform_of(utterance: Utterance, sound: tuple[str, Path]) -> np.ndarray:
    """The (num_samples,) of 16 kHz.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return audio.read(*sound)
    except ValueError as error:
        raise ValueError(f"utterance {utterance.id}: {error}") from error


def tag_of(model: IncrementalModel, utterance: Utterance) -> int | None:
    """The token that the text of a row begins with: the tag of its language, if the model wants tags."""
    config = model.task.data_config
    if not config.prepend_tgt_lang_tag:
        return None
    return model.task.language_tag(utterance.tgt_lang or config.tgt_lang, f"utterance {utterance.id}")
