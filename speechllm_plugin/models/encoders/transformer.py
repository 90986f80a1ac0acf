"""Transformer encoder (Vaswani et al. 2017), in the form of Lam et al. 2025: pre-norm layers, sinusoids added to the input."""

from typing import Any

from speechllm_plugin.models.encoders.parts import EncoderKind, EncoderLayer
from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS
from speechllm_plugin.models.transformer_layer import TransformerLayer


class TransformerEncoderLayer(TransformerLayer, EncoderLayer):
    """The layer of the text decoders over speech states, with the encoder's sizes and positions."""

    def __init__(self, cfg: Any):
        sizes = cfg.encoder_embed_dim, cfg.encoder_ffn_embed_dim, cfg.encoder_attention_heads
        super().__init__(*sizes, cfg, SELF_ATTENTIONS[cfg.relative_positions])

    def flops(self, num_states: int) -> int:
        return self.text_flops(num_states, num_states, num_states)


TRANSFORMER = EncoderKind(TransformerEncoderLayer)
