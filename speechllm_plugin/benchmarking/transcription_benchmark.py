"""Time from recordings to texts: of the whole way, as `speechllm transcribe` goes it, and of each stage alone."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from speechllm_plugin.benchmarking.update_profile import UpdateProfile
from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.transcription import joining
from speechllm_plugin.transcription.loaded_sound import LoadedSound
from speechllm_plugin.transcription.recordings import Recording
from speechllm_plugin.transcription.speech_model import SpeechModel
from speechllm_plugin.transcription.transcript import Transcript
from speechllm_plugin.transcription.window_search import TranscriptionOptions, WindowSearch

Returned = TypeVar("Returned")
STAGES = ("reading", "loading", "voice activity", "features", "search", "joining")


class TranscriptionTimes(NamedTuple):
    """Median seconds of the whole way and of each of STAGES over the passes, for so many seconds of audio.

    num_tokens: of all texts, their ends included.
    peak_bytes: of GPU memory; None on a CPU.
    """

    beam: int
    audio_seconds: float
    num_windows: int
    num_tokens: int
    seconds: float
    stages: dict[str, float]
    peak_bytes: int | None

    @property
    def speed(self) -> float:
        """Seconds of audio per second."""
        return self.audio_seconds / self.seconds


def measure(
    model: SpeechModel,
    named: Sequence[Recording],
    options: TranscriptionOptions,
    repeats: int,
    num_tokens: int | None = None,
    profile: UpdateProfile | None = None,
) -> TranscriptionTimes:
    """The times of `repeats` passes over the recordings, after one that does not count.

    Args:
        num_tokens: to which every text is searched; None: as long as the search finds them.
        profile: of one more search.
    """
    search = search_to_length(model, options, num_tokens)
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(model.device)
    wholes: list[float] = []
    passes: list[dict[str, float]] = []
    for _ in range(repeats + 1):
        times: dict[str, float] = {}

        def timed(stage: str, function: Callable[[], Returned], times: dict[str, float] = times) -> Returned:
            start = time.perf_counter()
            result = function()
            synchronise(model.device)
            times[stage] = time.perf_counter() - start
            return result

        def whole() -> Any:
            return model.transcribe_waveforms(read(model, named), search)

        timed("whole", whole)
        wholes.append(times.pop("whole"))
        waveforms = timed("reading", lambda: read(model, named))
        sound = timed("loading", lambda w=waveforms: LoadedSound(w, model.device))
        parts = timed("voice activity", lambda s=sound: model.windows(s))
        features = timed("features", lambda s=sound, p=parts: model.features(s, p))
        texts = timed("search", lambda f=features: search(f))
        timed("joining", lambda w=waveforms, p=parts, t=texts: joined(w, p, t))
        passes.append(times)
    medians = {stage: statistics.median(times[stage] for times in passes[1:]) for stage in STAGES}
    audio_seconds = sum(map(len, waveforms)) / SAMPLE_RATE
    written = sum(text.num_tokens[0] for text in texts if text is not None)
    if profile is not None:
        profile.start()
        search(features)
        synchronise(model.device)
        profile.stop()
    peak = torch.cuda.max_memory_allocated(model.device) if on_gpu else None
    return TranscriptionTimes(options.beam, audio_seconds, len(features), written, statistics.median(wholes[1:]), medians, peak)


def search_to_length(model: SpeechModel, options: TranscriptionOptions, num_tokens: int | None) -> WindowSearch:
    """A search whose texts all have `num_tokens`, their ends included, or with None as many as it finds.

    Raises:
        ValueError: the decoder has no room for so many.
    """
    search = model.search(options)
    if num_tokens is not None:
        if num_tokens > search.search.max_len:
            raise ValueError(f"--tokens must be at most {search.search.max_len}, the positions of the decoder, but is {num_tokens}")
        search.search.min_len = search.search.max_len_b = num_tokens - 1  # the end of a text is one more
    return search


def synchronise(device: torch.device) -> None:
    """Wait for what a GPU was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def joined(waveforms: Sequence[np.ndarray], parts: Sequence[Sequence[tuple[int, int]]], texts: Sequence[Any]) -> list[Transcript]:
    remaining = iter(texts)
    return [joining.transcript(waveform, windows, [next(remaining) for _ in windows], 1) for waveform, windows in zip(waveforms, parts)]


def read(model: SpeechModel, named: Sequence[Recording]) -> list[np.ndarray]:
    """The waveforms of recordings.

    Raises:
        ValueError: one cannot be read.
    """
    waveforms = []
    for _, waveform in model.read_ahead(named):
        if isinstance(waveform, ValueError):
            raise waveform
        waveforms.append(waveform)
    return waveforms
