"""Depthwise convolution over time of states that lie as (B, S, C), in Triton, forward and backward.

torch's own takes (B, C, S): two transposed copies around it and, for the gradient of the weights, a kernel that takes longer than all
matrix products of a Conformer's convolution module together.

Both kernels walk through stretches of ROWS states of a sentence and keep all that they add up in registers, as tuples of rows: each row of x is
read once a stretch and is at once multiplied with all its partners, WIDTH weights or ROWS gradients.
"""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function

from speechllm_plugin.models.kernels.program_sums import added_up

STRETCH = {"ROWS": 16, "CHANNELS": 64, "num_warps": 1}  # two channels a thread, so that their weights, sums and rows fit its registers
CONVOLVED_STRETCHES = 4  # for which a program reads the weights once
SUMMING_PROGRAMS = 192  # for each block of channels: their sums for the gradient of the weights are made apart, and then added in a fixed order
STRETCH_COUNTS = ["num_stretches", "stretches_of_program", "num_states"]


@triton.jit(do_not_specialize=STRETCH_COUNTS)
def _convolve(
    x, weight, out, num_stretches, stretches_of_program, num_states,
    DIM: tl.constexpr, WIDTH: tl.constexpr, FLIPPED: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """out[b, s] = sum over k of weight[k] * x[b, s + k - WIDTH // 2], of weights (WIDTH, C); in backward the filter is read from its end."""
    program, channel = _program(DIM, CHANNELS)
    weights = ()
    for tap in tl.static_range(WIDTH):
        of_filter = (WIDTH - 1 - tap if FLIPPED else tap) * DIM + channel
        weights += (tl.load(weight + of_filter, mask=channel < DIM, other=0.0).to(tl.float32),)  # type: ignore[assignment]
    first_stretch = program * stretches_of_program
    for stretch in range(first_stretch, tl.minimum(first_stretch + stretches_of_program, num_stretches)):
        first, place = _place(stretch, channel, num_states, DIM, ROWS)
        totals = (tl.zeros((CHANNELS,), tl.float32),) * ROWS
        for near in tl.static_range(ROWS + WIDTH - 1):
            states = _row(x + place, near - WIDTH // 2, first, channel, num_states, DIM)
            for row in tl.static_range(ROWS):
                if near - row >= 0 and near - row < WIDTH:
                    totals = totals[:row] + (tl.fma(states, weights[near - row], totals[row]),) + totals[row + 1 :]
        for row in tl.static_range(ROWS):
            real = (channel < DIM) & (first + row < num_states)
            tl.store(out + place + row * DIM, totals[row].to(out.dtype.element_ty), mask=real)


@triton.jit(do_not_specialize=STRETCH_COUNTS)
def _weight_gradient(
    x, gradient, sums, num_stretches, stretches_of_program, num_states,
    DIM: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """sums[program, k] = sum over the program's (b, s) of gradient[b, s] * x[b, s + k - WIDTH // 2]."""
    program, channel = _program(DIM, CHANNELS)
    totals = (tl.zeros((CHANNELS,), tl.float32),) * WIDTH
    first_stretch = program * stretches_of_program
    for stretch in range(first_stretch, tl.minimum(first_stretch + stretches_of_program, num_stretches)):
        first, place = _place(stretch, channel, num_states, DIM, ROWS)
        gradients = ()
        for row in tl.static_range(ROWS):
            gradients += (_row(gradient + place, row, first, channel, num_states, DIM),)  # type: ignore[assignment]
        for near in tl.static_range(ROWS + WIDTH - 1):
            states = _row(x + place, near - WIDTH // 2, first, channel, num_states, DIM)
            for tap in tl.static_range(WIDTH):
                if near - tap >= 0 and near - tap < ROWS:
                    totals = totals[:tap] + (tl.fma(states, gradients[near - tap], totals[tap]),) + totals[tap + 1 :]
    for tap in tl.static_range(WIDTH):
        tl.store(sums + (program * WIDTH + tap) * DIM + channel, totals[tap], mask=channel < DIM)


@triton.jit
def _program(DIM: tl.constexpr, CHANNELS: tl.constexpr):
    """The number of the program among those of its channels, and these. Neighbours in memory are at work at the same time."""
    blocks: tl.constexpr = (DIM + CHANNELS - 1) // CHANNELS
    return tl.program_id(0) // blocks, tl.program_id(0) % blocks * CHANNELS + tl.arange(0, CHANNELS)


@triton.jit
def _place(stretch, channel, num_states, DIM: tl.constexpr, ROWS: tl.constexpr):
    """The first state of a stretch in its sentence, and its channels' places in memory."""
    stretches_of_sentence = tl.cdiv(num_states, ROWS)
    first = stretch % stretches_of_sentence * ROWS
    return first, ((stretch // stretches_of_sentence).to(tl.int64) * num_states + first) * DIM + channel


@triton.jit
def _row(start, row, first, channel, num_states, DIM: tl.constexpr):
    """(channels,) of the state `row` after the first of a stretch, zero beyond both ends of the sentence."""
    known = (first + row).to(tl.uint32) < num_states.to(tl.uint32)  # before the sentence as well: there unsigned numbers are large
    return tl.load(start + row * DIM, mask=known & (channel < DIM), other=0.0).to(tl.float32)


def _run(x, weight, flipped: bool):
    num_sentences, num_states, dim = x.shape
    out = torch.empty_like(x)
    if out.numel():
        num_stretches = num_sentences * triton.cdiv(num_states, STRETCH["ROWS"])
        grid = (triton.cdiv(num_stretches, CONVOLVED_STRETCHES) * triton.cdiv(dim, STRETCH["CHANNELS"]),)
        _convolve[grid](x, weight, out, num_stretches, CONVOLVED_STRETCHES, num_states, dim, len(weight), flipped, **STRETCH)
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
        num_stretches = num_sentences * triton.cdiv(num_states, STRETCH["ROWS"])
        stretches_of_program = max(1, triton.cdiv(num_stretches, SUMMING_PROGRAMS))
        num_programs = triton.cdiv(num_stretches, stretches_of_program)
        sums = torch.empty(num_programs, *weight.shape, dtype=torch.float32, device=x.device)
        if sums.numel():
            grid = (num_programs * triton.cdiv(dim, STRETCH["CHANNELS"]),)
            _weight_gradient[grid](x, gradient, sums, num_stretches, stretches_of_program, num_states, dim, len(weight), **STRETCH)
        return _run(gradient, weight, flipped=True), added_up(sums.flatten(1)[None], weight.dtype).view_as(weight)


def depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    """(B, S, C) states convolved over time with a filter of their own for each channel, zeros beyond both ends.

    Args:
        x: (B, S, C).
        weight: (WIDTH, C), WIDTH odd; of any float type.
    """
    return _DepthwiseConv.apply(x, weight)
