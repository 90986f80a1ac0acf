"""A model that transcribes, as `speechllm_plugin.load` gives it."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechllm_plugin.data import audio, features
from speechllm_plugin.data.batched_filterbanks import batched_filterbanks, normalised
from speechllm_plugin.files import model_folder
from speechllm_plugin.files.digests import file_digest
from speechllm_plugin.host.devices import existing_device
from speechllm_plugin.models import saved_model
from speechllm_plugin.models.registry import architectures
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask
from speechllm_plugin.transcription import joining, recordings
from speechllm_plugin.transcription.loaded_sound import LoadedSound
from speechllm_plugin.transcription.recordings import Recording
from speechllm_plugin.transcription.transcript import Transcript
from speechllm_plugin.transcription.voice_activity import VoiceActivity
from speechllm_plugin.transcription.window_search import TranscriptionOptions, WindowSearch
from speechllm_plugin.transcription.windows import Span, windows

COMPUTED_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

READERS = {"cpu": 1, "cuda": 8}  # threads; a GPU works through recordings faster than one reads them
EARLIER_EXPORTS = {"pause_seconds": 1.0}  # what a folder says today and did not at first


class SpeechModel:
    """The model of a folder that `speechllm export` wrote. Several threads may use it at a time; the work of one waits for that of another.

    Args:
        folder: the model.
        device: cpu, cuda or cuda:N; None is the first GPU, or the CPU where there is none.
        dtype: of the computation, one of COMPUTED_DTYPES; those of 16 bits are for GPUs.

    Attributes:
        settings: what its model.json says.
        digest: tells it from other models.

    Raises:
        FileNotFoundError, ValueError: the folder is incomplete, damaged, or not of this package; there is no such device.
    """

    def __init__(self, folder: str | Path, device: str | None = None, dtype: str = "float32"):
        if dtype not in COMPUTED_DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(COMPUTED_DTYPES)}, but is {dtype}")
        self.folder, self.device = model_folder.located(folder), existing_device(device)
        self.settings = model_folder.read_settings(folder)
        self.digest = file_digest(self.folder / model_folder.CHECKSUM_FILE)
        state = model_folder.read_checkpoint(folder)
        saved = saved_model.parse(state, folder)
        self.task = SpeechLLMSpeechToTextTask.of_checkpoint(state, self.folder)
        self.model = architectures()[saved.arch].model.build_model(saved.cfg, self.task)
        self.model.load_state_dict(saved.weights)
        self.model.to(self.device, COMPUTED_DTYPES[dtype]).eval()
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
            self.heard(recordings.from_array(each, sample_rate, f"recording {number}")) if isinstance(each, np.ndarray) else self.read(each)
            for number, each in enumerate(sources)
        ]
        return self.transcribe_waveforms(waveforms, search)

    def read(self, path: str | Path) -> np.ndarray:
        """The waveform of a file, or of standard input for `-`, as the model knows sound: see recordings.read."""
        return self.heard(recordings.read(path))

    def read_ahead(self, named: Sequence[Recording]) -> Iterator[tuple[Recording, np.ndarray | ValueError]]:
        """Recordings with their waveforms, or why there is none, in order: see recordings.read_ahead."""
        return recordings.read_ahead(named, self.read, READERS[self.device.type])

    def heard(self, waveform: np.ndarray) -> np.ndarray:
        """A waveform in the bits that the sound of the training had.

        Resampled sound has next to nothing above the highest frequency of the original, where rounding leaves noise: a model that was trained
        on rounded sound knows the noise only.
        """
        return audio.with_bits(waveform, self.task.data_config.sample_bits)

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
        sound = LoadedSound(waveforms, self.device)
        parts = self.windows(sound)
        inputs = self.features(sound, parts)
        with self.lock:
            found = iter(search(inputs))
        return [joining.transcript(waveform, each, [next(found) for _ in each], search.options.n_best) for waveform, each in zip(waveforms, parts)]

    def windows(self, sound: LoadedSound) -> list[list[Span]]:
        """Per recording the first sample and the end of each window, in order; none where nobody speaks."""
        speech = {**EARLIER_EXPORTS, **self.settings["training_speech"]}
        limits = [speech[f"{name}_seconds"] for name in ("window", "longest", "pause")]
        return [windows(waveform, spans, *limits) for waveform, spans in zip(sound.waveforms, self.voice_activity.spans(sound))]

    def features(self, sound: LoadedSound, parts: Sequence[Sequence[Span]]) -> list[Tensor]:
        """The (T, 80) features of all windows of all recordings, on the model's device."""
        places = [(start + first, start + end) for start, each in zip(sound.starts, parts) for first, end in each]
        found = batched_filterbanks(sound.samples, places)
        return [normalised(each) for each in found] if self.use_cmvn else found
