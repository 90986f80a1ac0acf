"""Multi-head attention: self-attention without positions, cross-attention, and the step of a search.

Source: Vaswani et al. 2017.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from speechllm_plugin.models import kernels
from speechllm_plugin.models.cost import attention_products, matmul
from speechllm_plugin.models.dropout import survival
from speechllm_plugin.models.residual import branch_end


class Sight(NamedTuple):
    """What a mask says, in numbers that a kernel can work with: the speech of which each sentence has its own number of states, then text.

    num_speech:  speech states, padding included; 0 where queries and keys are text alone.
    lengths:     (B,) real ones of them.
    first_query: place of the first query in the whole: 0, or num_speech where only text asks.
    second_text: place where a second text begins, which does not see the first; None for one text.
    causal:      whether speech sees no later speech. Text never sees later text.
    """

    num_speech: int
    lengths: Tensor | None
    first_query: int = 0
    second_text: int | None = None
    causal: bool = False


class SelfAttention(nn.Module):
    """Scaled dot-product self-attention without positions, and base of the forms that have some.

    Attributes:
        label: of the speech positions that go with it, in `speechllm describe`.
        help: the same in the words of --help.
    """

    label = "sinusoidal"
    help = "sinusoids added to the input"

    def __init_subclass__(cls) -> None:
        """A form that computes other scores states their operations as well: none is billed as this one."""
        if "attend" in vars(cls) and "flops" not in vars(cls):
            raise TypeError(f"{cls.__name__}.attend computes scores of its own: define {cls.__name__}.flops beside it")

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.dim, self.num_heads, self.dropout = dim, num_heads, dropout
        self.qkv_proj = projection(dim, 3, gain=2**-0.5)
        self.out_proj = projection(dim)

    @staticmethod
    def check(dim: int, num_heads: int) -> None:
        """Raise ValueError, naming the encoder's flags, for sizes that this form cannot have."""

    @staticmethod
    def positions(num_states: int, dim: int, num_heads: int, device: torch.device) -> Tensor | None:
        """The positions as `attend` needs them, the same for all layers; None where it needs none."""
        return None

    def forward(self, x: Tensor, context: Any, skip: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """The (B, S - skip, C) outputs of the positions from `skip` on, and the (B, H, S, D) keys and values of all.

        Args:
            x: (B, S, C).
            context: has `mask`, broadcast to (B, H, S - skip, S), True where a position may look, and `positions` if this form needs some.
        """
        if skip:
            query = linear(x[:, skip:], self.qkv_proj.weight[: self.dim], self.qkv_proj.bias[: self.dim])
            key, value = kernels.parts(linear(x, self.qkv_proj.weight[self.dim :], self.qkv_proj.bias[self.dim :]), 2)
        else:
            query, key, value = kernels.parts(self.qkv_proj(x), 3)
        query, key = self.placed(self.heads(query), context.positions), self.placed(self.heads(key), context.positions)
        value = self.heads(value)
        attended = self.attend(query, key, value, context)
        return branch_end(attended.transpose(1, 2).flatten(2), self.out_proj), key, value

    def flops(self, num_queries: int, num_keys: int, num_new_keys: int) -> int:
        """Operations for so many queries over so many keys, of which only the new ones are computed."""
        queries_and_output = matmul(num_queries, self.dim, 2 * self.dim)
        return queries_and_output + self.key_value_flops(num_new_keys) + attention_products(num_queries, num_keys, self.dim)

    def heads(self, x: Tensor) -> Tensor:
        """(B, S, C) -> (B, H, S, D)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def placed(self, x: Tensor, positions: Any) -> Tensor:
        """The queries or keys x (B, H, S, D) of the last S positions, changed as the form's positions ask for; here they ask for nothing."""
        return x

    def placed_step(self, projected: Tensor, positions: Any) -> Tensor:
        """The same for queries, keys and values (B, K, 3, H, D) of one position in each sentence."""
        return projected

    @property
    def dropout_now(self) -> float:
        return self.dropout if self.training else 0.0

    def attend(self, query: Tensor, key: Tensor, value: Tensor, context: Any) -> Tensor:
        """The (B, H, S, D) mean values that the (B, H, S, D) queries read."""
        if context.sight is not None and kernels.serve_attention(query):
            return kernels.fused_attention(query, key, value, **context.sight._asdict(), dropout=self.dropout_now)
        return attention(query, key, value, context.mask, self.dropout_now)

    def keys_and_values(self, x: Tensor, positions: Any) -> tuple[Tensor, Tensor]:
        """The (B, H, S, D) keys and values of x (B, S, C)."""
        key, value = linear(x, self.qkv_proj.weight[self.dim :], self.qkv_proj.bias[self.dim :]).chunk(2, dim=-1)
        return self.placed(self.heads(key), positions), self.heads(value)

    def key_value_flops(self, num_new_keys: int) -> int:
        """Operations of `keys_and_values`."""
        return matmul(num_new_keys, self.dim, 2 * self.dim)

    def weights(self, x: Tensor, context: Any) -> Tensor:
        """The (B, H, S, S) weights with which x (B, S, C) reads itself."""
        query, key = (self.placed(self.heads(part), context.positions) for part in self.qkv_proj(x).chunk(3, dim=-1)[:2])
        return attention_weights(query, key, context.mask)

    def step(self, x: Tensor, state: Any, layer: int) -> Tensor:
        """One new token per hypothesis: x (B, K, C) -> (B, K, C), after adding its key and value to the state."""
        projected = self.placed_step(self.qkv_proj(x).unflatten(-1, (3, self.num_heads, -1)), state.positions)  # (B, K, 3, H, D)
        key, value = state.append(layer, projected[:, :, 1:])
        return self.out_proj(attend_together(projected[:, :, 0], key, value, state.text_bias))


class CrossAttention(nn.Module):
    """Attention of text positions to the speech states."""

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.dim, self.num_heads, self.dropout = dim, num_heads, dropout
        self.q_proj = projection(dim, gain=2**-0.5)
        self.kv_proj = projection(dim, 2, gain=2**-0.5)
        self.out_proj = projection(dim)

    def keys_and_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """The (B, H, N, D) keys and values of the speech states (B, N, C)."""
        key, value = (part.unflatten(-1, (self.num_heads, -1)) for part in kernels.parts(self.kv_proj(states), 2))
        return key.transpose(1, 2), value.transpose(1, 2)

    def key_value_flops(self, num_states: int) -> int:
        """Operations of `keys_and_values`."""
        return matmul(num_states, self.dim, 2 * self.dim)

    def flops(self, num_queries: int, num_states: int) -> int:
        """Operations for text that reads the speech, whose keys and values are there."""
        return matmul(num_queries, self.dim, 2 * self.dim) + attention_products(num_queries, num_states, self.dim)

    def forward(self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor, sight: Sight | None = None) -> Tensor:
        """The (B, U, C) that text x (B, U, C) reads in speech keys and values (B, H, N, D)."""
        query = self.q_proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        if sight is not None and kernels.serve_attention(query):
            attended = kernels.fused_attention(query, key, value, **sight._asdict(), dropout=dropout)
        else:
            attended = attention(query, key, value, mask, dropout)
        return branch_end(attended.transpose(1, 2).flatten(2), self.out_proj)

    def weights(self, x: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """The (B, H, U, N) weights with which text x (B, U, C) reads speech states (B, N, C)."""
        query = self.q_proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return attention_weights(query, self.keys_and_values(states)[0], mask)

    def step(self, x: Tensor, state: Any, layer: int) -> Tensor:
        """One new token per hypothesis: x (B, K, C) -> (B, K, C)."""
        query = self.q_proj(x).unflatten(-1, (self.num_heads, -1))  # (B, K, H, D)
        key, value = state.speech[layer]
        return self.out_proj(attend_together(query, key, value, state.speech_bias))


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float, scale: float | None = None) -> Tensor:
    """torch's attention, but computed in float32 where 16 bits come on a CPU.

    The CPU's kernel for 16 bits rounds the weights, and differently for every number of keys: padding or later text would show.
    """
    if query.device.type == "cpu" and query.dtype in (torch.float16, torch.bfloat16):
        mask = mask if mask.dtype == torch.bool else mask.float()
        return attention(query.float(), key.float(), value.float(), mask, dropout, scale).to(query.dtype)
    if query.device.type == "cpu" and torch.is_grad_enabled() and (dropout or mask.requires_grad):
        return attention_in_steps(query, key, value, mask, dropout, scale)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale)


def attention_in_steps(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, dropout: float, scale: float | None) -> Tensor:
    """torch's attention with fewer passes over the scores, and with our dropout. Every query must see a key."""
    bias = added(mask, query.dtype) if mask.dtype == torch.bool else mask
    scores = (query * (scale or query.size(-1) ** -0.5)) @ key.transpose(-1, -2)
    weights = scores.add_(bias).softmax(-1)
    if dropout:
        weights = weights * survival(weights, dropout)
    return weights @ value


def added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores where a mask hides: -inf where it is False, else 0."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -math.inf)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    """The (B, H, U, S) weights of queries (B, H, U, D) over keys (B, H, S, D), in float32."""
    scores = (query.float() @ key.float().transpose(-1, -2)) * query.size(-1) ** -0.5
    return scores.masked_fill(~mask, -math.inf).softmax(-1)


def attend_together(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """The (B, K, C) that the hypotheses of a sentence, (B, K, H, D) queries, read in the same (B, H, M, D) keys and values.

    `bias` (B, H, K, M) is -inf where a hypothesis may not look.
    """
    num_sentences, _, num_heads, dim = query.shape
    query = query.transpose(1, 2).flatten(0, 1)  # (B * H, K, D)
    scores = torch.baddbmm(bias.flatten(0, 1), query, key.flatten(0, 1).transpose(1, 2), alpha=dim**-0.5)
    attended = scores.softmax(-1) @ value.flatten(0, 1)
    return attended.unflatten(0, (num_sentences, num_heads)).transpose(1, 2).flatten(2)


def projection(dim: int, parts: int = 1, gain: float = 1.0) -> nn.Linear:
    """A linear layer (dim -> parts * dim): each part drawn by Xavier with the gain that fairseq gives it, biases zero."""
    layer = nn.Linear(dim, parts * dim)
    for part in layer.weight.data.chunk(parts):
        nn.init.xavier_uniform_(part, gain)
    nn.init.zeros_(layer.bias)
    return layer
