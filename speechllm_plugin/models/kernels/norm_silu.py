"""Batch normalisation of the states that are no padding, and SiLU, in Triton: four passes over the states, forward and backward together
six, where torch's operations make some thirty."""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function

NORMED_ROWS, NORMED_CHANNELS = 64, 64  # of a tile
NORMED_CHUNKS = 64  # parts of the rows that are summed apart, and then added in a fixed order


@triton.jit(do_not_specialize=["num_rows"])
def _sums(x, keep, centre, sums, num_rows, dim, CENTRED: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """sums[chunk] of the kept rows of x (rows, C), or of their squared distances from the centre (C,)."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < dim
    total = tl.zeros((CHANNELS,), tl.float32)
    if CENTRED:
        middle = tl.load(centre + channel, mask=is_channel, other=0.0)
    for tile in range(tl.program_id(1), tl.cdiv(num_rows, ROWS), tl.num_programs(1)):
        row = tile * ROWS + tl.arange(0, ROWS)
        kept = (tl.load(keep + row, mask=row < num_rows, other=0) != 0)[:, None] & is_channel[None]
        states = tl.load(x + row[:, None].to(tl.int64) * dim + channel[None], mask=kept, other=0.0).to(tl.float32)
        if CENTRED:
            states = tl.where(kept, states - middle[None], 0.0)
            states = states * states
        total += tl.sum(states, 0)
    tl.store(sums + tl.program_id(1) * dim + channel, total, mask=is_channel)


@triton.jit(do_not_specialize=["num_rows"])
def _activate(x, mean, inverse, weight, bias, out, num_rows, dim, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """SiLU of the normalised states, of all rows."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    is_channel = channel < dim
    place, inside = row[:, None].to(tl.int64) * dim + channel[None], (row < num_rows)[:, None] & is_channel[None]
    states = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    gain = tl.load(inverse + channel, mask=is_channel, other=0.0) * tl.load(weight + channel, mask=is_channel, other=0.0).to(tl.float32)
    shift = tl.load(bias + channel, mask=is_channel, other=0.0).to(tl.float32)
    normed = (states - tl.load(mean + channel, mask=is_channel, other=0.0)[None]) * gain[None] + shift[None]
    tl.store(out + place, (normed * tl.sigmoid(normed)).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _through_silu(x, gradient, mean, inverse, weight, bias, place, inside, channel, is_channel):
    """The states before weight and bias, and the gradient of the states after them."""
    states = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    scaled = (states - tl.load(mean + channel, mask=is_channel, other=0.0)[None]) * tl.load(inverse + channel, mask=is_channel, other=0.0)[None]
    gain = tl.load(weight + channel, mask=is_channel, other=0.0).to(tl.float32)
    normed = scaled * gain[None] + tl.load(bias + channel, mask=is_channel, other=0.0).to(tl.float32)[None]
    gate = tl.sigmoid(normed)
    given = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32) * gate * (1 + normed * (1 - gate))
    return tl.where(inside, scaled, 0.0), given


@triton.jit(do_not_specialize=["num_rows"])
def _gradient_sums(x, gradient, mean, inverse, weight, bias, sums, scaled_sums, num_rows, dim, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """Of all rows: the sums of the gradient behind the norm, and of it times the states before weight and bias."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < dim
    total = tl.zeros((CHANNELS,), tl.float32)
    scaled_total = tl.zeros((CHANNELS,), tl.float32)
    for tile in range(tl.program_id(1), tl.cdiv(num_rows, ROWS), tl.num_programs(1)):
        row = tile * ROWS + tl.arange(0, ROWS)
        place, inside = row[:, None].to(tl.int64) * dim + channel[None], (row < num_rows)[:, None] & is_channel[None]
        scaled, given = _through_silu(x, gradient, mean, inverse, weight, bias, place, inside, channel, is_channel)
        total += tl.sum(given, 0)
        scaled_total += tl.sum(given * scaled, 0)
    tl.store(sums + tl.program_id(1) * dim + channel, total, mask=is_channel)
    tl.store(scaled_sums + tl.program_id(1) * dim + channel, scaled_total, mask=is_channel)


@triton.jit(do_not_specialize=["num_rows"])
def _gradient(
    x, gradient, keep, mean, inverse, weight, bias, average, scaled_average, out, num_rows, dim, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    """The gradient of x. The statistics hand their part on to the rows that they were made of."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    is_channel = channel < dim
    place, inside = row[:, None].to(tl.int64) * dim + channel[None], (row < num_rows)[:, None] & is_channel[None]
    scaled, given = _through_silu(x, gradient, mean, inverse, weight, bias, place, inside, channel, is_channel)
    kept = (tl.load(keep + row, mask=row < num_rows, other=0) != 0)[:, None]
    through = (
        tl.load(average + channel, mask=is_channel, other=0.0)[None] + scaled * tl.load(scaled_average + channel, mask=is_channel, other=0.0)[None]
    )
    gain = tl.load(inverse + channel, mask=is_channel, other=0.0) * tl.load(weight + channel, mask=is_channel, other=0.0).to(tl.float32)
    tl.store(out + place, ((given - tl.where(kept, through, 0.0)) * gain[None]).to(out.dtype.element_ty), mask=inside)


class _BatchNormSilu(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, keep: Tensor, weight: Tensor, bias: Tensor, fallback_mean: Tensor, fallback_variance: Tensor,
        eps: float, total: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, ...]:  # fmt: skip
        x = x.contiguous()
        dim, num_rows = x.size(-1), keep.numel()
        bits, grid = keep.contiguous().view(torch.uint8), (triton.cdiv(dim, NORMED_CHANNELS), NORMED_CHUNKS)
        whole = triton.cdiv(dim, NORMED_CHANNELS), triton.cdiv(num_rows, NORMED_ROWS)
        sums = x.new_empty(NORMED_CHUNKS, dim, dtype=torch.float32)
        _sums[grid](x, bits, sums, sums, num_rows, dim, False, NORMED_ROWS, NORMED_CHANNELS)
        both = total(torch.cat([sums.sum(0), keep.sum()[None]]))
        has_states, number = both[-1] > 0, both[-1].clamp(min=1)
        mean = torch.where(has_states, both[:-1] / number, fallback_mean.float())
        _sums[grid](x, bits, mean, sums, num_rows, dim, True, NORMED_ROWS, NORMED_CHANNELS)
        variance = torch.where(has_states, total(sums.sum(0)) / number, fallback_variance.float())
        inverse = torch.rsqrt(variance + eps)
        out = torch.empty_like(x)
        if num_rows:
            _activate[whole](x, mean, inverse, weight, bias, out, num_rows, dim, NORMED_ROWS, NORMED_CHANNELS)
        ctx.save_for_backward(x, bits, weight, bias, mean, inverse, torch.where(has_states, 1 / number, 0.0))
        ctx.total = total
        ctx.mark_non_differentiable(mean, variance, number, has_states)
        return out, mean, variance, number, has_states

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *unused: Tensor) -> tuple[Any, ...]:
        x, bits, weight, bias, mean, inverse, share = ctx.saved_tensors
        gradient = gradient.contiguous()
        dim, num_rows = x.size(-1), bits.numel()
        sums = x.new_empty(2, NORMED_CHUNKS, dim, dtype=torch.float32)
        known = x, gradient, mean, inverse, weight, bias
        _gradient_sums[(triton.cdiv(dim, NORMED_CHANNELS), NORMED_CHUNKS)](*known, sums[0], sums[1], num_rows, dim, NORMED_ROWS, NORMED_CHANNELS)
        own = sums.sum(1)
        averages = ctx.total(own.clone()) * share  # the weights keep their own part: whoever trains adds those up
        out = torch.empty_like(x)
        if num_rows:
            grid = triton.cdiv(dim, NORMED_CHANNELS), triton.cdiv(num_rows, NORMED_ROWS)
            _gradient[grid](
                x, gradient, bits, mean, inverse, weight, bias, averages[0], averages[1], out, num_rows, dim, NORMED_ROWS, NORMED_CHANNELS
            )
        return out, None, own[1].to(weight.dtype), own[0].to(bias.dtype), None, None, None, None


def batch_norm_silu(
    x: Tensor, keep: Tensor, weight: Tensor, bias: Tensor, fallback_mean: Tensor, fallback_variance: Tensor, eps: float,
    total: Callable[[Tensor], Tensor],
) -> tuple[Tensor, ...]:  # fmt: skip
    """SiLU of the states x (B, S, C) normalised by the mean and variance of those that `keep` (B, S) names.

    Args:
        fallback_mean, fallback_variance: (C,) taken where no state is kept.
        total: sums a tensor over all processes, if it likes in place; of its gradient nothing is asked.

    Returns:
        (B, S, C); the (C,) mean and variance; the number of kept states, at least 1, and whether there is one.
    """
    return _BatchNormSilu.apply(x, keep, weight, bias, fallback_mean, fallback_variance, eps, total)
