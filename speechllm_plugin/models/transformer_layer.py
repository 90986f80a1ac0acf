"""Pre-norm Transformer layer, of the speech encoder and of both text decoders."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from speechllm_plugin.models import kernels
from speechllm_plugin.models.attention import CrossAttention, SelfAttention
from speechllm_plugin.models.cost import matmul
from speechllm_plugin.models.dropout import dropped, probability_now
from speechllm_plugin.models.residual import add, add_normed, normed


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
        return dropped(self.transform(self.norm(x)), self.dropout)

    def transform(self, normed: Tensor) -> Tensor:
        """What comes between the LayerNorm and the last dropout."""
        hidden = self.fc1(normed)  # the largest tensor of a layer
        if kernels.for_training(hidden):
            return self.fc2(kernels.activate(hidden, self.activation.__name__, probability_now(self.activation_dropout)))
        return self.fc2(dropped(self.activation(hidden, inplace=not torch.is_grad_enabled()), self.activation_dropout))

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

    def forward(self, x: Tensor, context: Any, skip: int = 0, speech: tuple[Any, ...] | None = None) -> Tensor:
        """(B, S, C) -> (B, S - skip, C): positions before `skip` are read but not computed.

        `speech`, in a cross-attention decoder: its (B, H, N, D) keys and values, the mask over N, and this in numbers.
        """
        attended = self.self_attn(normed(x, self.self_attn_norm), context, skip)[0]
        return self.rest(x[:, skip:], attended, speech)

    def prefill(self, x: Tensor, context: Any) -> tuple[Tensor, Tensor, Tensor]:
        """The outputs of forward, and the (B, H, S, D) keys and values that later positions will read."""
        attended, key, value = self.self_attn(self.self_attn_norm(x), context)
        return self.rest(x, attended), key, value

    def step(self, x: Tensor, state: Any, layer: int) -> Tensor:
        """One new token per hypothesis, (B, K, C) -> (B, K, C)."""
        x = x + self.self_attn.step(self.self_attn_norm(x), state, layer)
        if state.speech:
            x = x + self.cross_attn.step(self.cross_attn_norm(x), state, layer)
        return x + self.feed_forward(x)

    def rest(self, x: Tensor, attended: Tensor, speech: tuple[Any, ...] | None = None) -> Tensor:
        """The part of the layer after self-attention, whose outputs are `attended`: (B, S, C) -> (B, S, C)."""
        if speech is not None:
            x, states = add_normed(x, attended, self.dropout, self.cross_attn_norm)
            attended = self.cross_attn(states, *speech)
        x, states = add_normed(x, attended, self.dropout, self.feed_forward.norm)
        return add(x, self.feed_forward.transform(states), self.feed_forward.dropout)

    def text_flops(self, num_queries: int, num_keys: int, num_new_keys: int) -> int:
        """Operations of self-attention and of the feed-forward network; only the new keys and values are computed."""
        return self.self_attn.flops(num_queries, num_keys, num_new_keys) + self.feed_forward.flops(num_queries)
