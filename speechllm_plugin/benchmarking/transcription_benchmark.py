"""Time from recordings to texts, by stage: the calls that SpeechModel.transcribe makes, one after the other."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch

from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.transcription import joining, recordings
from speechllm_plugin.transcription.speech_model import SpeechModel
from speechllm_plugin.transcription.window_search import TranscriptionOptions

Returned = TypeVar("Returned")
STAGES = ("reading", "voice activity", "features", "search", "joining")


class TranscriptionTimes(NamedTuple):
    """Median seconds of each of STAGES over the passes, for so many seconds of audio."""

    beam: int
    audio_seconds: float
    num_windows: int
    stages: dict[str, float]

    @property
    def speed(self) -> float:
        """Seconds of audio per second."""
        return self.audio_seconds / sum(self.stages.values())


def measure(model: SpeechModel, files: Sequence[str], options: TranscriptionOptions, repeats: int) -> TranscriptionTimes:
    """The times of `repeats` passes over the files, after one that does not count."""
    search = model.search(options)
    passes: list[dict[str, float]] = []
    for _ in range(repeats + 1):
        times: dict[str, float] = {}

        def timed(stage: str, function: Callable[..., Returned], *arguments: Any, times: dict[str, float] = times) -> Returned:
            start = time.perf_counter()
            result = function(*arguments)
            if model.device.type == "cuda":
                torch.cuda.synchronize(model.device)
            times[stage] = time.perf_counter() - start
            return result

        waveforms = timed("reading", lambda: [recordings.read(file) for file in files])
        parts = timed("voice activity", model.windows, waveforms)
        cut = [waveform[start:end] for waveform, each in zip(waveforms, parts) for start, end in each]
        features = timed("features", lambda cut=cut: [model.features(window) for window in cut])
        found = iter(timed("search", search, features))
        timed("joining", lambda w=waveforms, p=parts, f=found: [joining.transcript(one, each, [next(f) for _ in each], 1) for one, each in zip(w, p)])
        passes.append(times)
    medians = {stage: statistics.median(times[stage] for times in passes[1:]) for stage in STAGES}
    return TranscriptionTimes(options.beam, sum(map(len, waveforms)) / SAMPLE_RATE, len(cut), medians)
