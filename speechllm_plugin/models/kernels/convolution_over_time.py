"""Depthwise convolution over time of states that lie as (B, S, C), in Triton, forward and backward.

torch's own takes (B, C, S): two transposed copies around it and, for the gradient of the weights, a kernel that takes longer than all
matrix products of a Conformer's convolution module together.
"""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function

CONVOLVED_ROWS, CONVOLVED_CHANNELS, CONVOLVED_WARPS = 64, 64, 4  # of a tile
SUMMED_ROWS = 32  # of a tile, where four of the filter's places are summed
CONVOLVED_CHUNKS = 16  # parts of the batch whose sums for the gradient of the weights are made apart, and then added in a fixed order


@triton.jit
def _convolve(
    x, weight, out, num_states, dim, WIDTH: tl.constexpr, FLIPPED: tl.constexpr, WHOLE: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    """out[b, s] = sum over k of weight[k] * x[b, s + k - WIDTH // 2], of weights (WIDTH, C); in backward the filter is read from its end."""
    first = tl.program_id(0) * ROWS
    row, channel = first + tl.arange(0, ROWS), tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    start = tl.program_id(1).to(tl.int64) * num_states * dim
    if WHOLE & (first >= WIDTH // 2) & (first + ROWS + WIDTH // 2 <= num_states):  # no end of a sentence in sight
        total = _filtered(x + start, weight, row, channel, num_states, dim, WIDTH, FLIPPED, False, ROWS, CHANNELS)
    else:
        total = _filtered(x + start, weight, row, channel, num_states, dim, WIDTH, FLIPPED, True, ROWS, CHANNELS)
    real = (row < num_states)[:, None] & (channel < dim)[None]
    tl.store(out + start + row[:, None] * dim + channel[None], total.to(out.dtype.element_ty), mask=real)


@triton.jit
def _filtered(
    x, weight, row, channel, num_states, dim,
    WIDTH: tl.constexpr, FLIPPED: tl.constexpr, MASKED: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    total = tl.zeros((ROWS, CHANNELS), tl.float32)
    for tap in tl.static_range(WIDTH):
        place = (WIDTH - 1 - tap if FLIPPED else tap) * dim + channel
        if MASKED:
            states = _states(x, row + tap - WIDTH // 2, channel, num_states, dim)
            total += states * tl.load(weight + place, mask=channel < dim, other=0.0).to(tl.float32)[None]
        else:
            states = tl.load(x + (row + tap - WIDTH // 2)[:, None] * dim + channel[None]).to(tl.float32)
            total += states * tl.load(weight + place).to(tl.float32)[None]
    return total


@triton.jit
def _weight_gradient(x, gradient, sums, num_sentences, num_states, dim, WIDTH: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """sums[chunk, k] = sum over the chunk's (b, s) of gradient[b, s] * x[b, s + k - WIDTH // 2], for four filter places k at once."""
    channel = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    is_channel = channel < dim
    tap, chunk = tl.program_id(1) * 4, tl.program_id(2)
    tiles_of_sentence = tl.cdiv(num_states, ROWS)
    first = tl.zeros((ROWS, CHANNELS), tl.float32)
    second = tl.zeros((ROWS, CHANNELS), tl.float32)
    third = tl.zeros((ROWS, CHANNELS), tl.float32)
    fourth = tl.zeros((ROWS, CHANNELS), tl.float32)
    for tile in range(chunk, num_sentences * tiles_of_sentence, tl.num_programs(2)):
        start = (tile // tiles_of_sentence).to(tl.int64) * num_states * dim
        row = (tile % tiles_of_sentence) * ROWS + tl.arange(0, ROWS)
        real = (row < num_states)[:, None] & is_channel[None]
        outer = tl.load(gradient + start + row[:, None] * dim + channel[None], mask=real, other=0.0).to(tl.float32)
        source = row + tap - WIDTH // 2
        first += outer * _states(x + start, source, channel, num_states, dim)
        second += outer * _states(x + start, source + 1, channel, num_states, dim)
        third += outer * _states(x + start, source + 2, channel, num_states, dim)
        fourth += outer * _states(x + start, source + 3, channel, num_states, dim)
    place = sums + (chunk * WIDTH + tap) * dim + channel
    tl.store(place, tl.sum(first, 0), mask=is_channel & (tap < WIDTH))
    tl.store(place + dim, tl.sum(second, 0), mask=is_channel & (tap + 1 < WIDTH))
    tl.store(place + 2 * dim, tl.sum(third, 0), mask=is_channel & (tap + 2 < WIDTH))
    tl.store(place + 3 * dim, tl.sum(fourth, 0), mask=is_channel & (tap + 3 < WIDTH))


@triton.jit
def _states(x, source, channel, num_states, dim):
    """(rows, channels) of a sentence, zero beyond both ends."""
    known = ((source >= 0) & (source < num_states))[:, None] & (channel < dim)[None]
    return tl.load(x + source[:, None] * dim + channel[None], mask=known, other=0.0).to(tl.float32)


def _run(x, weight, flipped: bool):
    num_sentences, num_states, dim = x.shape
    out = torch.empty_like(x)
    if out.numel():
        grid = (triton.cdiv(num_states, CONVOLVED_ROWS), num_sentences, triton.cdiv(dim, CONVOLVED_CHANNELS))
        whole = dim % CONVOLVED_CHANNELS == 0
        tile = {"ROWS": CONVOLVED_ROWS, "CHANNELS": CONVOLVED_CHANNELS, "num_warps": CONVOLVED_WARPS}
        _convolve[grid](x, weight, out, num_states, dim, WIDTH=len(weight), FLIPPED=flipped, WHOLE=whole, **tile)
    return out


class _DepthwiseConv(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, weight)
        return _run(x, weight, flipped=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (x, weight), gradient = ctx.saved_tensors, gradient.contiguous()
        num_sentences, num_states, dim = x.shape
        width = len(weight)
        sums = torch.empty(CONVOLVED_CHUNKS, width, dim, dtype=torch.float32, device=x.device)
        grid = (triton.cdiv(dim, CONVOLVED_CHANNELS), triton.cdiv(width, 4), CONVOLVED_CHUNKS)
        _weight_gradient[grid](x, gradient, sums, num_sentences, num_states, dim, width, SUMMED_ROWS, CONVOLVED_CHANNELS)
        return _run(gradient, weight, flipped=True), sums.sum(0).to(weight.dtype)


def depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    """(B, S, C) states convolved over time with a filter of their own for each channel, zeros beyond both ends.

    Args:
        x: (B, S, C).
        weight: (WIDTH, C), WIDTH odd; of any float type.
    """
    return _DepthwiseConv.apply(x, weight)
