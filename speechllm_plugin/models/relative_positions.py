"""Self-attention that knows the lag between two states, and the table of all forms of self-attention in the encoder.

A new form is a subclass of SelfAttention and a line in SELF_ATTENTIONS; --relative-positions takes its choices from there.

Source: xl: Dai et al. 2019, Transformer-XL (arXiv:1901.02860), section 3.3, with positions in both directions; rope: Su et al. 2021
(arXiv:2104.09864).

Shapes, beside those of models/__init__.py: P positions of lags, at least 2S - 1.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import pad

from speechllm_plugin.models import kernels
from speechllm_plugin.models.attention import SelfAttention, added, attention
from speechllm_plugin.models.cost import matmul

SCORES_AT_ONCE = 2**24, 2  # of relative positions, without gradients: this many, or this many times what comes out


class XLSelfAttention(SelfAttention):
    """Transformer-XL attention over lags in both directions: 2S - 1 relative positions, filled up to P, a multiple of 8, for GPUs."""

    label = "relative (xl)"
    help = "Transformer-XL, both directions"
    has_kernel = True

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__(dim, num_heads, dropout)
        self.position_proj = nn.Linear(dim, dim, bias=False)
        self.content_bias = nn.Parameter(torch.empty(num_heads, dim // num_heads))
        self.position_bias = nn.Parameter(torch.empty(num_heads, dim // num_heads))
        for weight in (self.position_proj.weight, self.content_bias, self.position_bias):
            nn.init.xavier_uniform_(weight)
        self.scale = 1 / math.sqrt(dim // num_heads)

    @staticmethod
    def num_positions(num_states: int) -> int:
        """P, for so many states."""
        return -(-(2 * num_states - 1) // 8) * 8

    @staticmethod
    def positions(num_states: int, dim: int, num_heads: int, device: torch.device) -> Tensor:
        """The (P, C) sinusoids of the lags S - 1 ... 1 - S and beyond."""
        lags = num_states - 1 - torch.arange(XLSelfAttention.num_positions(num_states), device=device)
        return interleaved_sinusoids(lags, dim)

    def flops(self, num_queries: int, num_keys: int, num_new_keys: int) -> int:
        """The operations without positions, and those of the keys and the scores of the lags."""
        lags = self.num_positions(num_keys)
        return super().flops(num_queries, num_keys, num_new_keys) + matmul(lags, self.dim, self.dim) + matmul(num_queries, self.dim, lags)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, context: Any) -> Tensor:
        position = self.heads(self.position_proj(context.positions.to(query.dtype))[None])[0]  # (H, P, D)
        if self.has_kernel and kernels.serve_attention(query):
            of_lags: dict[str, Any] = {
                "position": position,
                "content_bias": self.content_bias,
                "position_bias": self.position_bias,
                "scale": self.scale,
            }
            return kernels.fused_attention(query, key, value, **context.sight._asdict(), **of_lags, dropout=self.dropout_now)
        position = position * self.scale
        if torch.is_grad_enabled():
            return self.attend_at(position, query, key, value, context.mask, context.lengths)
        # The scores of all lags are by far the largest tensor of an encoder: without gradients they live for a few sentences at a time.
        at_once = max(SCORES_AT_ONCE[0], SCORES_AT_ONCE[1] * query.numel())
        num_sentences = max(1, at_once // (query.size(1) * query.size(2) * position.size(1)))
        parts = zip(*(tensor.split(num_sentences) for tensor in (query, key, value, context.mask, context.lengths)))
        return torch.cat([self.attend_at(position, *part).transpose(1, 2) for part in parts]).transpose(1, 2)

    def attend_at(self, position: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        """The (B, H, S, D) mean values, with the positions' keys (H, P, D)."""
        by_head = (query + self.position_bias[:, None]).transpose(0, 1)  # (H, B, S, D)
        scores = by_head.flatten(1, 2) @ position.transpose(1, 2)  # (H, B * S, P)
        scores = scores.unflatten(1, by_head.shape[1:3]).transpose(0, 1)  # (B, H, S, P)
        bias = self.bias(scores, mask, lengths)
        return attention(query + self.content_bias[:, None], key, value, bias, self.dropout_now, self.scale)

    def bias(self, scores: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        """The (B, H, S, S) scores by key, -inf where the mask hides, of (B, H, S, P) scores by lag."""
        if torch.is_grad_enabled():
            return ShiftedScores.apply(scores, mask)
        return hidden_outside(mask, self.shift(scores, lengths))

    @staticmethod
    def shift(scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, H, S, P) scores by lag, from S - 1 down to 1 - S and beyond -> (B, H, S, S) by key: row i is read from S - 1 - i on.

        In memory that is one place earlier in each row than in the row before: a view, with rows that are shorter by one.
        """
        num_states, width = scores.shape[2:]
        rows = scores.flatten(2)[..., num_states - 1 : num_states * width - 1]
        return rows.unflatten(2, (num_states, width - 1))[..., :num_states]


class ShiftedScores(Function):
    """XLSelfAttention.bias in one pass forward and one backward: no gradient comes from a hidden place, as its weight is 0."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, mask: Tensor) -> Tensor:
        ctx.shape = scores.shape
        return XLSelfAttention.shift(scores) + added(mask, scores.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        num_sentences, num_heads, *rest = ctx.shape
        of_scores = gradient.new_zeros(num_heads, num_sentences, *rest).transpose(0, 1)  # in memory as the product that made the scores
        XLSelfAttention.shift(of_scores).copy_(gradient)
        return of_scores, None


def hidden_outside(mask: Tensor, scores: Tensor) -> Tensor:
    """The (B, H, S, S) scores, -inf where the mask is False. Without gradients in one pass, with rows that torch's kernel need not copy."""
    if torch.is_grad_enabled():
        return scores.masked_fill(~mask, -math.inf)
    num_keys = scores.size(-1)
    bias = scores.new_empty(*scores.shape[:-1], -(-num_keys // 8) * 8)[..., :num_keys]
    return torch.where(mask, scores, scores.new_full((), -math.inf), out=bias)


class LegacySelfAttention(XLSelfAttention):
    """The relative positions of Lam et al. 2025's code, needed by its checkpoints only.

    It has S positions instead of 2S - 1, so that a future lag reads the next frame's query. It divides by the square root of the
    model dimension.
    """

    label = "relative, as in the study's code (legacy)"
    help = "the form of Lam et al. 2025's code, for its checkpoints"
    has_kernel = False

    def __init__(self, dim: int, num_heads: int, dropout: float):
        super().__init__(dim, num_heads, dropout)
        self.scale = 1 / math.sqrt(dim)

    @staticmethod
    def num_positions(num_states: int) -> int:
        return num_states

    @staticmethod
    def positions(num_states: int, dim: int, num_heads: int, device: torch.device) -> Tensor:
        """The (S, C) sinusoids of the positions from 0 on."""
        return interleaved_sinusoids(torch.arange(num_states, device=device), dim)

    def bias(self, scores: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        return hidden_outside(mask, self.shift(scores, lengths))

    @staticmethod
    def shift(scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, H, S, S) -> (B, H, S, S): the one-sided shift at each utterance's own number of states L.

        With a column of zeros before them, the L rows of L + 1 scores are read as L + 1 rows of L, without the first.
        """
        assert lengths is not None
        num_states, length = scores.size(2), lengths[:, None, None]
        index = torch.arange(num_states, device=scores.device)
        flat = (index[:, None] + 1) * length + index  # (B, S, S): place in the block of L rows
        row, column = flat // (length + 1), flat % (length + 1)
        source = (row * (num_states + 1) + column).clamp(max=num_states * (num_states + 1) - 1)  # beyond L: masked
        source = source.flatten(1)[:, None].expand(-1, scores.size(1), -1)
        return pad(scores, (1, 0)).flatten(2).gather(2, source).unflatten(2, (num_states, -1))


class RotarySelfAttention(SelfAttention):
    """Rotary positions: queries and keys turn with their position, so that their product depends on the lag."""

    label = "rotary (rope)"
    help = "rotary"

    @staticmethod
    def check(dim: int, num_heads: int) -> None:
        if dim // num_heads % 2:
            raise ValueError(
                f"--relative-positions rope turns pairs of channels: --encoder-embed-dim ({dim}) divided by "
                f"--encoder-attention-heads ({num_heads}) must be even"
            )

    @staticmethod
    def positions(num_states: int, dim: int, num_heads: int, device: torch.device) -> Tensor:
        """The (S, D) cosines, then sines, of every position at D / 2 frequencies."""
        return rotary_angles(torch.arange(num_states, device=device), dim // num_heads)

    def placed(self, x: Tensor, positions: Tensor) -> Tensor:
        return rotate(x, *positions[..., -x.size(-2) :, :].to(x.dtype).chunk(2, dim=-1))

    def placed_step(self, projected: Tensor, positions: Tensor) -> Tensor:
        turned = rotate(projected[:, :, :2], *positions[:, :, None].to(projected.dtype).chunk(2, dim=-1))
        return torch.cat([turned, projected[:, :, 2:]], dim=2)


# --relative-positions -> self-attention of the encoder's layers; `none` goes with sinusoids that are added to the encoder's input
SELF_ATTENTIONS: dict[str, type[SelfAttention]] = {
    "none": SelfAttention,
    "xl": XLSelfAttention,
    "legacy": LegacySelfAttention,
    "rope": RotarySelfAttention,
}


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The (..., D) vectors x with channel i and channel i + D / 2 turned by the angle of frequency i."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def rotary_angles(positions: Tensor, dim: int) -> Tensor:
    """The (..., dim) cosines, then sines, of positions (...) at dim / 2 frequencies."""
    angles = sinusoid_angles(positions, dim)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def sinusoid_angles(positions: Tensor, dim: int) -> Tensor:
    """The (..., dim / 2) angles position / 10000^(2i / dim)."""
    frequency = torch.exp(torch.arange(0, dim, 2, device=positions.device) * (-math.log(10000) / dim))
    return positions[..., None] * frequency


def interleaved_sinusoids(positions: Tensor, dim: int) -> Tensor:
    """The (..., dim) sinusoids: sine in the even and cosine in the odd channels."""
    angles = sinusoid_angles(positions, dim)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)
