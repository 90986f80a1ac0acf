"""A model that transcribes, as `speechllm_plugin.load` gives it."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechllm_plugin.data import audio, features
from speechllm_plugin.files import model_folder
from speechllm_plugin.files.digests import file_digest
from speechllm_plugin.host.devices import existing_device
from speechllm_plugin.models import saved_model
from speechllm_plugin.models.registry import architectures
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask
from speechllm_plugin.transcription import joining, recordings
from speechllm_plugin.transcription.transcript import Transcript
from speechllm_plugin.transcription.voice_activity import VoiceActivity
from speechllm_plugin.transcription.window_search import TranscriptionOptions, WindowSearch
from speechllm_plugin.transcription.windows import Span, windows


class SpeechModel:
    """The model of a folder that `speechllm export` wrote. Several threads may use it at a time; the work of one waits for that of another.

    Args:
        folder: the model.
        device: cpu, cuda or cuda:N; None is the first GPU, or the CPU where there is none.

    Attributes:
        settings: what its model.json says.
        digest: tells it from other models.

    Raises:
        FileNotFoundError, ValueError: the folder is incomplete, damaged, or not of this package; there is no such device.
    """

    def __init__(self, folder: str | Path, device: str | None = None):
        self.folder, self.device = model_folder.located(folder), existing_device(device)
        self.settings = model_folder.read_settings(folder)
        self.digest = file_digest(self.folder / model_folder.CHECKSUM_FILE)
        state = model_folder.read_checkpoint(folder)
        saved = saved_model.parse(state, folder)
        self.task = SpeechLLMSpeechToTextTask.of_checkpoint(state, self.folder)
        self.model = architectures()[saved.arch].model.build_model(saved.cfg, self.task)
        self.model.load_state_dict(saved.weights)
        self.model.to(self.device).eval()
        self.use_cmvn, _ = self.task.data_config.transforms(is_train=False)
        wanted = {**features.SETTINGS, "num_bins": features.NUM_BINS, "utterance_cmvn": self.use_cmvn}
        if self.settings["features"] != wanted:
            raise ValueError(f"{self.folder}: its features are {self.settings['features']}, but this package computes {wanted}")
        self.voice_activity = VoiceActivity(self.device)
        self.lock = threading.Lock()

    def transcribe(self, sources: Sequence[str | Path | np.ndarray], *, sample_rate: int = audio.SAMPLE_RATE, **options: Any) -> list[Transcript]:
        """A Transcript for each recording, in order.

        Args:
            sources: files that libsndfile or ffmpeg can read, and waveforms (num_samples,) or (num_samples, channels).
            sample_rate: of the waveforms, in Hz.
            options: those of TranscriptionOptions: language, beam, n_best, ctc_decoding_weight, word_timestamps, hot_words,
                hot_word_bonus.

        Raises:
            ValueError: a recording cannot be read, or an option does not go with the model.
        """
        if isinstance(sources, (str, Path, np.ndarray)):
            raise ValueError("transcribe() takes a list of recordings: put the one that you have in brackets")
        search = self.search(TranscriptionOptions(**options))
        waveforms = [
            recordings.from_array(each, sample_rate, f"recording {number}") if isinstance(each, np.ndarray) else recordings.read(each)
            for number, each in enumerate(sources)
        ]
        return self.transcribe_waveforms(waveforms, search)

    def search(self, options: TranscriptionOptions) -> WindowSearch:
        """The search with these options, for transcribe_waveforms.

        Raises:
            ValueError: an option does not go with the model.
        """
        language = self.language(options.language)
        tag = self.task.language_tag(language, "--language") if self.settings["languages"]["tags"] else None
        align_by_ctc = self.model.encoder.ctc_head is not None and language in (None, *self.settings["languages"]["speech"])
        return WindowSearch(self.model, self.task, options, tag, align_by_ctc)

    def language(self, chosen: str | None) -> str | None:
        """The language of the texts; None if the data did not name it.

        Raises:
            ValueError: the model does not write the language, or writes several and none was chosen.
        """
        languages = self.settings["languages"]["tags"] or self.settings["languages"]["text"]
        if chosen is None and len(languages) > 1:
            raise ValueError(f"{self.folder} writes {', '.join(languages)}: choose one with --language")
        if chosen is not None and chosen not in languages:
            raise ValueError(f"--language {chosen}: {self.folder} writes {', '.join(languages) or 'a language that it does not name'}")
        return chosen or next(iter(languages), None)

    def transcribe_waveforms(self, waveforms: Sequence[np.ndarray], search: WindowSearch) -> list[Transcript]:
        """A Transcript for each waveform (num_samples,) of 16 kHz, in order."""
        parts = self.windows(waveforms)
        inputs = [self.features(waveform[start:end]) for waveform, each in zip(waveforms, parts) for start, end in each]
        with self.lock:
            found = iter(search(inputs))
        return [joining.transcript(waveform, each, [next(found) for _ in each], search.options.n_best) for waveform, each in zip(waveforms, parts)]

    def windows(self, waveforms: Sequence[np.ndarray]) -> list[list[Span]]:
        """Per waveform the first sample and the end of each window, in order; none where nobody speaks."""
        speech = self.settings["training_speech"]
        spans = self.voice_activity.spans(waveforms)
        return [windows(waveform, each, speech["window_seconds"], speech["longest_seconds"]) for waveform, each in zip(waveforms, spans)]

    def features(self, waveform: np.ndarray) -> np.ndarray:
        """The (T, 80) features of a window."""
        filterbanks = features.filterbanks(waveform)
        return features.utterance_cmvn(filterbanks) if self.use_cmvn else filterbanks
