"""The two architectures, as fairseq sees them: `xattn_transformer` and `dfp_transformer` differ in the decoder's class."""

from typing import NamedTuple

import torch
from fairseq.models import FairseqEncoderDecoderModel, register_model

from speechllm_plugin.models.config import DFPConfig, SpeechToTextConfig, check
from speechllm_plugin.models.ctc import CTCOutput
from speechllm_plugin.models.speech_encoder import SpeechEncoder
from speechllm_plugin.models.text_decoder import CrossAttentionDecoder, PrefixDecoder


class ModelOutput(NamedTuple):
    """Logits (B, U, V) of the text, the CTC output if the model has one, and the logits of the second text if there is one.

    fairseq's criterions read the first.
    """

    logits: torch.Tensor
    ctc: CTCOutput | None
    kd_logits: torch.Tensor | None = None


class SpeechToTextModel(FairseqEncoderDecoderModel):
    decoder_type: type

    @classmethod
    def build_model(cls, cfg, task):
        """Build from the flags; the task gives dictionaries, feature dimension and maximum lengths."""
        check(cfg)
        if cfg.ctc_layer and task.transcript_dictionary is None:
            raise ValueError(
                f"--ctc-layer {cfg.ctc_layer} needs transcripts, but {task.data_config_path} names no transcript_vocab_filename: "
                "prepare the data with transcripts, or train with --ctc-layer 0"
            )
        num_labels = len(task.transcript_dictionary) if cfg.ctc_layer else 0
        encoder = SpeechEncoder(cfg, task.data_config.input_feat_per_channel, num_labels, task.cfg.max_source_positions)
        return cls(encoder, cls.decoder_type(cfg, task.target_dictionary, task.cfg.max_target_positions))

    def load_state_dict(self, state_dict, *args, **kwargs):
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

    def forward(self, src_tokens, src_lengths, prev_output_tokens, kd_prev_output_tokens=None) -> ModelOutput:
        """Filterbanks (B, T, 80), their lengths (B,), shifted target (B, U) -> logits and CTC output.

        A second shifted target of the same speech, of any width, costs no second pass of the encoder.
        """
        speech = self.encoder(src_tokens, src_lengths)
        logits, extra = self.decoder(prev_output_tokens, encoder_out=speech, kd_prev_output_tokens=kd_prev_output_tokens)
        return ModelOutput(logits, speech.ctc, extra["kd_logits"])


@register_model("xattn_transformer", dataclass=SpeechToTextConfig)
class CrossAttentionModel(SpeechToTextModel):
    decoder_type = CrossAttentionDecoder


@register_model("dfp_transformer", dataclass=DFPConfig)
class DFPModel(SpeechToTextModel):
    decoder_type = PrefixDecoder
