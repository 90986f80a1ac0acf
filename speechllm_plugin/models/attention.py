"""Multi-head attention: self-attention with or without relative positions, cross-attention, and the step of a search.

Source: Vaswani et al. 2017; relative positions: Dai et al. 2019, Transformer-XL (arXiv:1901.02860), section 3.3, with
positions in both directions; rope: Su et al. 2021 (arXiv:2104.09864).
"""

import math

import torch
from torch import nn
from torch.nn.functional import linear, pad, scaled_dot_product_attention

SCORES_AT_ONCE = 2**24, 2  # of relative positions, without gradients: this many, or this many times what comes out


class SelfAttention(nn.Module):
    """Scaled dot-product self-attention without positions."""

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.dim, self.num_heads, self.dropout = dim, num_heads, dropout
        self.qkv_proj = projection(dim, 3, gain=2**-0.5)
        self.out_proj = projection(dim)

    def forward(self, x, context, skip: int = 0):
        """Returns (B, S - skip, C) for the positions from `skip` on, and the (B, H, S, D) keys and values of all.

        Args:
            x: (B, S, C).
            context: has `mask`, broadcast to (B, H, S - skip, S), True where a position may look.
        """
        if skip:
            query = linear(x[:, skip:], self.qkv_proj.weight[: self.dim], self.qkv_proj.bias[: self.dim])
            key, value = linear(x, self.qkv_proj.weight[self.dim :], self.qkv_proj.bias[self.dim :]).chunk(2, dim=-1)
        else:
            query, key, value = self.qkv_proj(x).chunk(3, dim=-1)
        key, value = self.heads(key), self.heads(value)
        attended = self.attend(self.heads(query), key, value, context)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), key, value

    def heads(self, x):
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (B, H, S, D)

    @staticmethod
    def positions(num_states: int, dim: int, device):
        """What `attend` needs to know of the positions, the same for all layers."""
        return

    @property
    def dropout_now(self) -> float:
        return self.dropout if self.training else 0.0

    def attend(self, query, key, value, context):
        return attention(query, key, value, context.mask, self.dropout_now)

    def keys_and_values(self, x):
        """The (B, H, S, D) keys and values of x (B, S, C)."""
        key, value = linear(x, self.qkv_proj.weight[self.dim :], self.qkv_proj.bias[self.dim :]).chunk(2, dim=-1)
        return self.heads(key), self.heads(value)

    def weights(self, x, mask):
        """(B, H, S, S) with which x (B, S, C) reads itself."""
        query, key, _ = self.qkv_proj(x).chunk(3, dim=-1)
        return attention_weights(self.heads(query), self.heads(key), mask)

    def step(self, x, state, layer: int):
        """One new token per hypothesis: x (B, K, C) -> (B, K, C), after adding its key and value to the state."""
        projected = self.qkv_proj(x).unflatten(-1, (3, self.num_heads, -1))  # (B, K, 3, H, D)
        key, value = state.append(layer, projected[:, :, 1:])
        return self.out_proj(attend_together(projected[:, :, 0], key, value, state.text_bias))


class XLSelfAttention(SelfAttention):
    """Transformer-XL attention over lags in both directions: 2S - 1 relative positions, filled up to P, a multiple of 8, for GPUs."""

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__(dim, num_heads, dropout)
        self.position_proj = nn.Linear(dim, dim, bias=False)
        self.content_bias = nn.Parameter(torch.empty(num_heads, dim // num_heads))
        self.position_bias = nn.Parameter(torch.empty(num_heads, dim // num_heads))
        for weight in (self.position_proj.weight, self.content_bias, self.position_bias):
            nn.init.xavier_uniform_(weight)
        self.scale = 1 / math.sqrt(dim // num_heads)

    def attend(self, query, key, value, context):
        position = self.heads(self.position_proj(context.positions.to(query.dtype))[None])[0] * self.scale  # (H, P, D)
        if torch.is_grad_enabled():
            return self.attend_at(position, query, key, value, context.mask, context.lengths)
        # The scores of all lags are by far the largest tensor of an encoder: without gradients they live for a few sentences at a time.
        at_once = max(SCORES_AT_ONCE[0], SCORES_AT_ONCE[1] * query.numel())
        num_sentences = max(1, at_once // (query.size(1) * query.size(2) * position.size(1)))
        parts = zip(*(tensor.split(num_sentences) for tensor in (query, key, value, context.mask, context.lengths)))
        return torch.cat([self.attend_at(position, *part).transpose(1, 2) for part in parts]).transpose(1, 2)

    def attend_at(self, position, query, key, value, mask, lengths):
        """(B, H, S, D), with the positions' keys (H, P, D)."""
        by_head = (query + self.position_bias[:, None]).transpose(0, 1)  # (H, B, S, D)
        scores = by_head.flatten(1, 2) @ position.transpose(1, 2)  # (H, B * S, P)
        scores = scores.unflatten(1, by_head.shape[1:3]).transpose(0, 1)  # (B, H, S, P)
        bias = hidden_outside(mask, self.shift(scores, lengths))
        return attention(query + self.content_bias[:, None], key, value, bias, self.dropout_now, self.scale)

    @staticmethod
    def shift(scores, lengths):
        """(B, H, S, P) scores by lag, from S - 1 down to 1 - S and beyond -> (B, H, S, S) by key: row i is read from S - 1 - i on.

        In memory that is one place earlier in each row than in the row before: a view, with rows that are shorter by one.
        """
        num_states, width = scores.shape[2:]
        rows = scores.flatten(2)[..., num_states - 1 : num_states * width - 1]
        return rows.unflatten(2, (num_states, width - 1))[..., :num_states]

    @staticmethod
    def positions(num_states: int, dim: int, device):
        """(P, C) sinusoids of the lags S - 1 ... 1 - S and beyond."""
        return interleaved_sinusoids(num_states - 1 - torch.arange(num_lags(num_states), device=device), dim)


def hidden_outside(mask, scores):
    """(B, H, S, S) scores, -inf where the mask is False. Without gradients in one pass, with rows that torch's kernel need not copy."""
    if torch.is_grad_enabled():
        return scores.masked_fill(~mask, -math.inf)
    num_keys = scores.size(-1)
    bias = scores.new_empty(*scores.shape[:-1], -(-num_keys // 8) * 8)[..., :num_keys]
    return torch.where(mask, scores, scores.new_full((), -math.inf), out=bias)


def num_lags(num_states: int) -> int:
    """P, the multiple of 8 from 2S - 1 on."""
    return -(-(2 * num_states - 1) // 8) * 8


class LegacySelfAttention(XLSelfAttention):
    """The relative positions of Lam et al. 2025's code, needed by its checkpoints only.

    It has S positions instead of 2S - 1, so that a future lag reads the next frame's query, and divides by the
    square root of the model dimension.
    """

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__(dim, num_heads, dropout)
        self.scale = 1 / math.sqrt(dim)

    @staticmethod
    def shift(scores, lengths):
        """(B, H, S, S) -> (B, H, S, S): the one-sided shift at each utterance's own number of states L.

        With a column of zeros before them, the L rows of L + 1 scores are read as L + 1 rows of L, without the first.
        """
        num_states, length = scores.size(2), lengths[:, None, None]
        index = torch.arange(num_states, device=scores.device)
        flat = (index[:, None] + 1) * length + index  # (B, S, S): place in the block of L rows
        row, column = flat // (length + 1), flat % (length + 1)
        source = (row * (num_states + 1) + column).clamp(max=num_states * (num_states + 1) - 1)  # beyond L: masked
        source = source.flatten(1)[:, None].expand(-1, scores.size(1), -1)
        return pad(scores, (1, 0)).flatten(2).gather(2, source).unflatten(2, (num_states, -1))

    @staticmethod
    def positions(num_states: int, dim: int, device):
        return interleaved_sinusoids(torch.arange(num_states, device=device), dim)


class RotarySelfAttention(SelfAttention):
    """Rotary positions: queries and keys turn with their position, so that their product depends on the lag."""

    def attend(self, query, key, value, context):
        cos, sin = context.positions.to(query.dtype).chunk(2, dim=-1)
        return super().attend(rotate(query, cos, sin), rotate(key, cos, sin), value, context)

    def positions(self, num_states: int, dim: int, device):
        """(S, D) cosines, then sines, of every position at D / 2 frequencies."""
        angles = sinusoid_angles(torch.arange(num_states, device=device), dim // self.num_heads)
        return torch.cat([angles.cos(), angles.sin()], dim=-1)


SELF_ATTENTIONS = {"none": SelfAttention, "xl": XLSelfAttention, "legacy": LegacySelfAttention, "rope": RotarySelfAttention}


class CrossAttention(nn.Module):
    """Attention of text positions to the speech states."""

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.q_proj = projection(dim, gain=2**-0.5)
        self.kv_proj = projection(dim, 2, gain=2**-0.5)
        self.out_proj = projection(dim)

    def keys_and_values(self, states):
        """The (B, H, N, D) keys and values of the speech states (B, N, C)."""
        key, value = self.kv_proj(states).unflatten(-1, (2, self.num_heads, -1)).unbind(2)
        return key.transpose(1, 2), value.transpose(1, 2)

    def forward(self, x, key, value, mask):
        """Text x (B, U, C) reads speech keys and values (B, H, N, D)."""
        query = self.q_proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        dropout = self.dropout if self.training else 0.0
        attended = attention(query, key, value, mask, dropout)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def weights(self, x, states, mask):
        """(B, H, U, N) with which text x (B, U, C) reads speech states (B, N, C)."""
        query = self.q_proj(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        return attention_weights(query, self.keys_and_values(states)[0], mask)

    def step(self, x, state, layer: int):
        """One new token per hypothesis: x (B, K, C) -> (B, K, C)."""
        query = self.q_proj(x).unflatten(-1, (self.num_heads, -1))  # (B, K, H, D)
        return self.out_proj(attend_together(query, *state.speech[layer], state.speech_bias))


def attention(query, key, value, mask, dropout: float, scale: float | None = None):
    """torch's, but with float32 inside where 16 bits come on a CPU: its kernel for these rounds the weights, and differently for every
    number of keys, so that padding or later text would show."""
    if query.device.type == "cpu" and query.dtype in (torch.float16, torch.bfloat16):
        mask = mask if mask.dtype == torch.bool else mask.float()
        return attention(query.float(), key.float(), value.float(), mask, dropout, scale).to(query.dtype)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale)


def attention_weights(query, key, mask):
    """(B, H, U, S) of queries (B, H, U, D) over keys (B, H, S, D), in float32."""
    scores = (query.float() @ key.float().transpose(-1, -2)) * query.size(-1) ** -0.5
    return scores.masked_fill(~mask, -math.inf).softmax(-1)


def attend_together(query, key, value, bias):
    """(B, K, C): the hypotheses of a sentence, (B, K, H, D) queries, read the same (B, H, M, D) keys and values.

    `bias` (B, H, K, M) is -inf where a hypothesis may not look.
    """
    num_sentences, _, num_heads, dim = query.shape
    query = query.transpose(1, 2).flatten(0, 1)  # (B * H, K, D)
    scores = torch.baddbmm(bias.flatten(0, 1), query, key.flatten(0, 1).transpose(1, 2), alpha=dim**-0.5)
    attended = scores.softmax(-1) @ value.flatten(0, 1)
    return attended.unflatten(0, (num_sentences, num_heads)).transpose(1, 2).flatten(2)


def projection(dim: int, parts: int = 1, gain: float = 1.0) -> nn.Linear:
    """Linear (dim -> parts * dim), each part drawn by Xavier with the gain fairseq gives it, biases zero."""
    layer = nn.Linear(dim, parts * dim)
    for part in layer.weight.data.chunk(parts):
        nn.init.xavier_uniform_(part, gain)
    nn.init.zeros_(layer.bias)
    return layer


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def sinusoid_angles(positions, dim: int):
    """(..., dim / 2) angles position / 10000^(2i / dim)."""
    frequency = torch.exp(torch.arange(0, dim, 2, device=positions.device) * (-math.log(10000) / dim))
    return positions[..., None] * frequency


def interleaved_sinusoids(positions, dim: int):
    """(..., dim): sine in the even and cosine in the odd channels."""
    angles = sinusoid_angles(positions, dim)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
