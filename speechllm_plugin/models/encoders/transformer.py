"""Transformer encoder (Vaswani et al. 2017), in the form of Lam et al. 2025: pre-norm layers, sinusoids added to the input."""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import relu

from speechllm_plugin.models.encoders.parts import EncoderKind, EncoderLayer, SpeechContext
from speechllm_plugin.models.feed_forward import FeedForward
from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS
from speechllm_plugin.models.residual import add, add_normed, with_normed


class TransformerEncoderLayer(EncoderLayer):
    """Self-attention and a feed-forward network."""

    def __init__(self, cfg: Any):
        super().__init__()
        dim = cfg.encoder_embed_dim
        self.self_attn_norm = nn.LayerNorm(dim)
        self.self_attn = SELF_ATTENTIONS[cfg.relative_positions](dim, cfg.encoder_attention_heads, cfg.attention_dropout)
        self.feed_forward = FeedForward(dim, cfg.encoder_ffn_embed_dim, relu, cfg.dropout, cfg.activation_dropout)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, x: Tensor, context: SpeechContext) -> Tensor:
        x, states = with_normed(x, self.self_attn_norm)
        x, states = add_normed(x, self.self_attn(states, context)[0], self.dropout, self.feed_forward.norm)
        return add(x, self.feed_forward.transform(states), self.feed_forward.dropout)

    def flops(self, num_states: int) -> int:
        return self.self_attn.flops(num_states, num_states, num_states) + self.feed_forward.flops(num_states)


TRANSFORMER = EncoderKind(TransformerEncoderLayer)
