"""Pre-norm Transformer layer, of the speech encoder and of both text decoders."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from speechllm_plugin.models.attention import CrossAttention, SelfAttention
from speechllm_plugin.models.cost import matmul


class FeedForward(nn.Module):
    """LayerNorm, a wider hidden layer, and back; without the residual."""

    def __init__(self, dim: int, ffn_dim: int, activation: Callable[..., Tensor], dropout: float, activation_dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, ffn_dim)
        self.fc2 = nn.Linear(ffn_dim, dim)
        self.activation = activation
        self.dropout, self.activation_dropout = nn.Dropout(dropout), nn.Dropout(activation_dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.fc1(self.norm(x)), inplace=not torch.is_grad_enabled())  # the largest tensor of a layer
        return self.dropout(self.fc2(self.activation_dropout(hidden)))

    def flops(self, num_states: int) -> int:
        return 2 * matmul(num_states, self.fc1.in_features, self.fc1.out_features)


class TransformerLayer(nn.Module):
    """Self-attention, in a cross-attention decoder then attention to the speech, and a feed-forward network.

    Args:
        cfg: flags with the dropout probabilities.
        self_attention: its form, one of SELF_ATTENTIONS.
    """

    def __init__(
        self,
        dim: int,
        ffn_dim: int,
        num_heads: int,
        cfg: Any,
        self_attention: type[SelfAttention] = SelfAttention,
        cross_attention: bool = False,
    ):
        super().__init__()
        self.self_attn_norm = nn.LayerNorm(dim)
        self.self_attn = self_attention(dim, num_heads, cfg.attention_dropout)
        if cross_attention:
            self.cross_attn_norm = nn.LayerNorm(dim)
            self.cross_attn = CrossAttention(dim, num_heads, cfg.attention_dropout)
        self.feed_forward = FeedForward(dim, ffn_dim, relu, cfg.dropout, cfg.activation_dropout)
        self.dropout = nn.Dropout(cfg.dropout)

    def forward(self, x: Tensor, context: Any, skip: int = 0, speech: tuple[Tensor, Tensor, Tensor] | None = None) -> Tensor:
        """(B, S, C) -> (B, S - skip, C): positions before `skip` are read but not computed.

        `speech`, in a cross-attention decoder: its (B, H, N, D) keys and values and the mask over N.
        """
        attended = self.self_attn(self.self_attn_norm(x), context, skip)[0]
        return self.rest(x[:, skip:] + self.dropout(attended), speech)

    def prefill(self, x: Tensor, context: Any) -> tuple[Tensor, Tensor, Tensor]:
        """The outputs of forward, and the (B, H, S, D) keys and values that later positions will read."""
        attended, key, value = self.self_attn(self.self_attn_norm(x), context)
        return self.rest(x + attended), key, value

    def step(self, x: Tensor, state: Any, layer: int) -> Tensor:
        """One new token per hypothesis, (B, K, C) -> (B, K, C)."""
        x = x + self.self_attn.step(self.self_attn_norm(x), state, layer)
        if state.speech:
            x = x + self.cross_attn.step(self.cross_attn_norm(x), state, layer)
        return x + self.feed_forward(x)

    def rest(self, x: Tensor, speech: tuple[Tensor, Tensor, Tensor] | None = None) -> Tensor:
        """The part of the layer after self-attention, (B, S, C) -> (B, S, C)."""
        if speech is not None:
            x = x + self.dropout(self.cross_attn(self.cross_attn_norm(x), *speech))
        return x + self.feed_forward(x)

    def text_flops(self, num_queries: int, num_keys: int, num_new_keys: int) -> int:
        """Operations of self-attention and of the feed-forward network; only the new keys and values are computed."""
        return self.self_attn.flops(num_queries, num_keys, num_new_keys) + self.feed_forward.flops(num_queries)
