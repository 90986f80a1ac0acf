"""Pre-norm Transformer layer, of the speech encoder and of both text decoders."""

import torch
from torch import nn
from torch.nn.functional import relu

from speechllm_plugin.models.attention import SELF_ATTENTIONS, CrossAttention


class FeedForward(nn.Module):
    """LayerNorm, a wider hidden layer, and back; without the residual."""

    def __init__(self, dim: int, ffn_dim: int, activation, dropout: float, activation_dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, dim)
        self.activation = activation
        self.dropout, self.activation_dropout = nn.Dropout(dropout), nn.Dropout(activation_dropout)

    def forward(self, x):
        hidden = self.activation(self.fc1(self.norm(x)), inplace=not torch.is_grad_enabled())  # the largest tensor of a layer
        return self.dropout(self.fc2(self.activation_dropout(hidden)))


class TransformerLayer(nn.Module):
    """Self-attention, in a cross-attention decoder then attention to the speech, and a feed-forward network."""

    def __init__(self, dim: int, ffn_dim: int, num_heads: int, cfg, positions: str = "none", cross_attention: bool = False):
        super().__init__()
        self.self_attn_norm = nn.LayerNorm(dim)
        self.self_attn = SELF_ATTENTIONS[positions](dim, num_heads, cfg.attention_dropout)
        if cross_attention:
            self.cross_attn_norm = nn.LayerNorm(dim)
            self.cross_attn = CrossAttention(dim, num_heads, cfg.attention_dropout)
        self.feed_forward = FeedForward(dim, ffn_dim, relu, cfg.dropout, cfg.activation_dropout)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, x, context, skip: int = 0, speech=None):
        """(B, S, C) -> (B, S - skip, C): positions before `skip` are read but not computed.

        `speech`, in a cross-attention decoder: its (B, H, N, D) keys and values and the mask over N.
        """
        attended = self.self_attn(self.self_attn_norm(x), context, skip)[0]
        return self.rest(x[:, skip:] + self.dropout(attended), speech)

    def prefill(self, x, context):
        """As forward, and the (B, H, S, D) keys and values that later positions will read."""
        attended, key, value = self.self_attn(self.self_attn_norm(x), context)
        return self.rest(x + attended), key, value

    def step(self, x, state, layer: int):
        """One new token per hypothesis, (B, K, C) -> (B, K, C)."""
        x = x + self.self_attn.step(self.self_attn_norm(x), state, layer)
        if state.speech:
            x = x + self.cross_attn.step(self.cross_attn_norm(x), state, layer)
        return x + self.feed_forward(x)

    def rest(self, x, speech=None):
        if speech is not None:
            x = x + self.dropout(self.cross_attn(self.cross_attn_norm(x), *speech))
        return x + self.feed_forward(x)
