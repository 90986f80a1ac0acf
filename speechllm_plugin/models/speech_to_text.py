"""The two architectures, as fairseq sees them: `xattn_transformer` and `dfp_transformer` differ in the decoder's class."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from fairseq import hub_utils
from fairseq.data import Dictionary
from fairseq.models import FairseqEncoderDecoderModel, register_model
from torch import Tensor

from speechllm_plugin.models.config import DFPConfig, SpeechToTextConfig, check
from speechllm_plugin.models.ctc import CTCOutput
from speechllm_plugin.models.decoder_base import TextDecoder
from speechllm_plugin.models.module_tree import all_in_mode, modules_with
from speechllm_plugin.models.speech_encoder import SpeechEncoder
from speechllm_plugin.models.text_decoder import CrossAttentionDecoder, PrefixDecoder


class ModelOutput(NamedTuple):
    """The output of a model for a batch; fairseq's criterions read the first field.

    logits:    (B, U, V) of the text.
    ctc:       the CTC output, if the model has a CTC head.
    kd_logits: (B, U, V) of the second text, if there is one.
    """

    logits: Tensor
    ctc: CTCOutput | None
    kd_logits: Tensor | None = None


class Sizes(NamedTuple):
    """The sizes that a model is built for, beside its flags and its target dictionary.

    feature_dim:          filterbanks per frame.
    num_transcript_types: of the transcript vocabulary, special symbols included; 0 without CTC.
    max_frames:           the longest utterance that fairseq may send.
    max_tokens:           the longest text that fairseq may send, and that a search may write.
    """

    feature_dim: int
    num_transcript_types: int
    max_frames: int
    max_tokens: int


class SpeechToTextModel(FairseqEncoderDecoderModel):
    """Base of the architectures: a speech encoder and a decoder; one more is a subclass with another `decoder_type`."""

    decoder_type: type[TextDecoder]
    encoder: SpeechEncoder
    decoder: TextDecoder
    captured_training: Callable[..., ModelOutput] | None = None  # forward in training, where --cuda-graphs is given; see captured_training.py

    @classmethod
    def build_model(cls, cfg: SpeechToTextConfig, task: Any) -> "SpeechToTextModel":
        """The model that the flags describe; the task gives dictionaries, feature dimension and maximum lengths.

        Raises:
            ValueError: flags contradict each other or the data.
        """
        check(cfg)
        if cfg.ctc_layer and task.transcript_dictionary is None:
            raise ValueError(
                f"--ctc-layer {cfg.ctc_layer} needs transcripts, but {task.data_config_path} names no transcript_vocab_filename: "
                "prepare the data with transcripts, or train with --ctc-layer 0"
            )
        num_types = len(task.transcript_dictionary) if cfg.ctc_layer else 0
        sizes = Sizes(task.data_config.input_feat_per_channel, num_types, task.cfg.max_source_positions, task.cfg.max_target_positions)
        return cls.build(cfg, task.target_dictionary, sizes)

    @classmethod
    def build(cls, cfg: SpeechToTextConfig, dictionary: Dictionary, sizes: Sizes) -> "SpeechToTextModel":
        """The model that the flags describe, for a target dictionary and sizes.

        Raises:
            ValueError: flags contradict each other.
        """
        check(cfg)
        encoder = SpeechEncoder(cfg, sizes.feature_dim, sizes.num_transcript_types, sizes.max_frames)
        return cls(encoder, cls.decoder_type(cfg, dictionary, sizes.max_tokens))

    @classmethod
    def from_pretrained(
        cls, model_name_or_path: str, checkpoint_file: str = "model.safetensors", data_name_or_path: str = ".", **settings: Any
    ) -> Any:
        """fairseq's hub interface, with `predict(audio)`: of a model folder, or of `checkpoint_file` in a folder with its data.

        Args:
            data_name_or_path: the data folder, from the model's folder on if it begins with a dot.
            settings: of the checkpoint's configuration, by name, to be changed, as in beam=1.
        """
        found = hub_utils.from_pretrained(model_name_or_path, checkpoint_file, data_name_or_path, archive_map=cls.hub_models(), **settings)
        return found["task"].hub_interface(found["args"], found["models"])

    def load_state_dict(self, state_dict: dict, *args: Any, **kwargs: Any) -> Any:
        """As fairseq's; weights of another vocabulary or other sizes are an error of one line."""
        for name, weight, what in (
            ("decoder.embedding.weight", self.decoder.embedding.weight, "target"),
            ("encoder.ctc_head.weight", getattr(self.encoder.ctc_head, "weight", None), "transcript"),
        ):
            if name in state_dict and weight is not None and len(state_dict[name]) != len(weight):
                blank = what == "transcript"
                raise ValueError(
                    f"the checkpoint's {what} vocabulary has {len(state_dict[name]) - blank:,} types, but that of the data has "
                    f"{len(weight) - blank:,}: give the data folder that the checkpoint was trained on"
                )
        try:
            return super().load_state_dict(state_dict, *args, **kwargs)
        except RuntimeError as error:
            first = " ".join(str(error).split())[:300]
            raise ValueError(f"the checkpoint is of a model with other flags, give the same: {first}") from error

    def forward(
        self, src_tokens: Tensor, src_lengths: Tensor, prev_output_tokens: Tensor, kd_prev_output_tokens: Tensor | None = None
    ) -> ModelOutput:
        """Filterbanks (B, T, 80), their lengths (B,), shifted target (B, U) -> logits and CTC output.

        A second shifted target of the same speech, of any width, costs no second pass of the encoder.
        """
        if self.captured_training is not None and self.training and torch.is_grad_enabled():
            return self.captured_training(src_tokens, src_lengths, *filter(torch.is_tensor, (prev_output_tokens, kd_prev_output_tokens)))
        speech = self.encoder(src_tokens, src_lengths)
        logits, extra = self.decoder(prev_output_tokens, encoder_out=speech, kd_prev_output_tokens=kd_prev_output_tokens)
        return ModelOutput(logits, speech.ctc, extra["kd_logits"])

    def train(self, mode: bool = True) -> Self:
        """As torch's; fairseq asks for it twice in every update, where every module has its mode but for the first after a validation."""
        return self if all_in_mode(self, mode) else super().train(mode)

    def set_num_updates(self, num_updates: int) -> None:
        """As fairseq's, which calls it before every batch: every module below that has such a method learns the number."""
        for module in modules_with(self, "set_num_updates"):
            module.set_num_updates(num_updates)


@register_model("xattn_transformer", dataclass=SpeechToTextConfig)
class CrossAttentionModel(SpeechToTextModel):
    """The decoder reads the speech through cross-attention."""

    decoder_type = CrossAttentionDecoder


@register_model("dfp_transformer", dataclass=DFPConfig)
class DFPModel(SpeechToTextModel):
    """The speech stands before the text of the decoder: dense feature prepending."""

    decoder_type = PrefixDecoder
