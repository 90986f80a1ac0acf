"""A model that reads the speech that has arrived, and continues the text that is written already."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from speechllm_plugin.data import features
from speechllm_plugin.files import model_folder
from speechllm_plugin.inspection import trained_model
from speechllm_plugin.models.speech_encoder import SpeechStates
from speechllm_plugin.models.speech_to_text import SpeechToTextModel
from speechllm_plugin.simultaneous.alignatt import most_attended
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask
from speechllm_plugin.transcription.speech_model import SpeechModel
from speechllm_plugin.transcription.window_search import TranscriptionOptions, WindowSearch

# --clock -> seconds
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


class Hypothesis(NamedTuple):
    """A whole text for what has arrived.

    tokens: the end of sentence last.
    attended: per token the speech state before compression that it attends to most; of several layers, the latest of theirs.
    seconds: that it took to compute.
    """

    tokens: list[int]
    attended: list[int]
    seconds: float


class IncrementalModel:
    """A model of simultaneous decoding, one utterance at a time.

    Args:
        model: in eval mode.
        beam: hypotheses of the search.
        layer: of the decoder whose attention is looked at, from 1; None is all of them.
        clock: name of CLOCKS.
        languages: that it writes; none where nobody noted them.

    Raises:
        ValueError: the decoder has no such layer.
    """

    def __init__(
        self,
        model: SpeechToTextModel,
        task: SpeechLLMSpeechToTextTask,
        beam: int,
        layer: int | None = None,
        clock: str = "wall",
        languages: Sequence[str] = (),
    ):
        self.languages = languages
        self.model, self.task, self.clock = model, task, CLOCKS[clock]
        self.device = next(model.parameters()).device
        num_layers, self.layer = len(model.decoder.layers), layer
        if layer is not None and not 1 <= layer <= num_layers:
            raise ValueError(f"--attention-layer must be from 1 to {num_layers}, the number of decoder layers, but is {layer}")
        self.use_cmvn, _ = task.data_config.transforms(is_train=False)
        # The search of transcribe: with all of the speech at once, its text is that of transcribe.
        self.search = WindowSearch(model, task, TranscriptionOptions(beam=beam), tag=None, align_by_ctc=False)
        self.eos = task.target_dictionary.eos()

    @classmethod
    def load(cls, path: Path, data: Path, device: str | None = None, **options: Any) -> "IncrementalModel":
        """The model of a folder that `speechllm export` wrote, or of a checkpoint with its data folder, which a model folder does not need.

        Args:
            device: cpu, cuda or cuda:N; None is the first GPU, or the CPU where there is none.
            options: beam, layer, clock.

        Raises:
            FileNotFoundError, ValueError: it cannot be loaded, there is no such device or layer, or it reads other features.
        """
        if model_folder.is_model_folder(path):
            loaded = SpeechModel(path, device)
            return cls(loaded.model, loaded.task, languages=loaded.settings["languages"]["text"], **options)
        trained = trained_model.load(path, data, device)
        num_features = trained.task.data_config.input_feat_per_channel
        if num_features != features.NUM_BINS:
            raise ValueError(f"{path}: reads {num_features} features of a frame, but those computed of sound are {features.NUM_BINS}")
        return cls(trained.model, trained.task, **options)

    def normalised(self, filterbanks: np.ndarray) -> np.ndarray:
        """The (T, 80) features of what has arrived, normalised as in training: by the frames that are there, at the end by all."""
        return features.utterance_cmvn(filterbanks) if self.use_cmvn else filterbanks

    @torch.no_grad()
    def encode(self, filterbanks: np.ndarray) -> SpeechStates | None:
        """The speech of (T, 80) filterbanks; None where nobody speaks, by the CTC head: all its states are blank."""
        inputs = torch.from_numpy(self.normalised(filterbanks))[None].to(self.device)
        encoder = self.model.encoder
        speech = encoder(inputs, torch.tensor([len(filterbanks)], device=self.device), with_ctc=encoder.ctc_head is not None)
        is_spoken = bool(self.search.spoken(speech))
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # what is timed here belongs here
        return speech if is_spoken else None

    @torch.no_grad()
    def continuation(self, speech: SpeechStates, written: Sequence[int]) -> Hypothesis:
        """The best text that begins with the tokens `written`."""
        start = self.clock()
        sample = {"net_input": {"src_tokens": speech.states, "src_lengths": (~speech.padding).sum(1)}}
        prefix = torch.tensor([written], dtype=torch.long, device=self.device) if written else None
        [[best, *_]] = self.search.search.generate([], sample, prefix, speech=[speech])
        tokens = best["tokens"].to(self.device)
        previous = torch.nn.functional.pad(tokens[None, :-1], (1, 0), value=self.eos)
        decoder = self.model.decoder
        chosen = (
            decoder.attention_of_layers(previous, speech) if self.layer is None else [decoder.attention_to_speech(previous, speech, self.layer - 1)]
        )
        attended = torch.stack([most_attended(weights[0], speech.segments) for weights in chosen]).amax(0)
        return Hypothesis(tokens.tolist(), attended.tolist(), self.clock() - start)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without tags and the end of sentence."""
        return self.search.text(tokens)

    def description(self) -> str:
        """What kind of model it is, and where its attention is looked at."""
        place = "cross-attention" if self.model.decoder.cross_attention else "self-attention to the prefix"
        state_ms = 1000 * self.search.state_seconds
        num_layers = len(self.model.decoder.layers)
        layers = f"all {num_layers} decoder layers, whichever reads latest" if self.layer is None else f"decoder layer {self.layer} of {num_layers}"
        return f"{place} of {layers}, states of {state_ms:g} ms before compression"
