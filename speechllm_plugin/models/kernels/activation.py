"""Activations with what follows them, in Triton: dropout behind ReLU or SiLU, the zeroing of padding behind a gated linear unit."""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function

from speechllm_plugin.models.kernels.random_mask import keeps
from speechllm_plugin.models.kernels.seeds import draw_seed, seed_base, threshold_of

ACTIVATED_BLOCK = 2048
ACTIVATIONS = {"relu": 0, "silu": 1}


@triton.jit(do_not_specialize=["seed", "threshold"])
def _activate(
    x, gradient, out, size, growth, seed, seed_base, threshold, SILU: tl.constexpr, DROPOUT: tl.constexpr, BACKWARD: tl.constexpr, BLOCK: tl.constexpr
):
    """The activation of x, or with a gradient of its output the gradient of x; dropped elements are zero, the others grow."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    if SILU:
        gate = tl.sigmoid(value)
        result = gate * (1 + value * (1 - gate)) if BACKWARD else value * gate
    else:
        result = tl.where(value > 0, 1.0 if BACKWARD else value, 0.0)
    if BACKWARD:
        result *= tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
    if DROPOUT:
        result = tl.where(keeps(place, seed + tl.load(seed_base), threshold), result * growth, 0.0)
    tl.store(out + place, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _gate(x, padding, gradient, out, num_rows, dim, BACKWARD: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Per row of (2 C) the first half times the sigmoid of the second, zero at padding; or the gradient of x."""
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = (row < num_rows)[:, None] & (column < dim)[None]
    real = (tl.load(padding + row, mask=row < num_rows, other=1) == 0)[:, None]
    wide = row[:, None].to(tl.int64) * 2 * dim + column[None]
    narrow = row[:, None].to(tl.int64) * dim + column[None]
    value = tl.load(x + wide, mask=inside & real, other=0.0).to(tl.float32)
    gate = tl.sigmoid(tl.load(x + wide + dim, mask=inside & real, other=0.0).to(tl.float32))
    if BACKWARD:
        given = tl.load(gradient + narrow, mask=inside & real, other=0.0).to(tl.float32)
        tl.store(out + wide, (given * gate).to(out.dtype.element_ty), mask=inside)
        tl.store(out + wide + dim, (given * value * gate * (1 - gate)).to(out.dtype.element_ty), mask=inside)
    else:
        tl.store(out + narrow, tl.where(real, value * gate, 0.0).to(out.dtype.element_ty), mask=inside)


class _Activation(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, name: str, probability: float) -> Tensor:
        ctx.name, ctx.probability, ctx.seed = name, probability, draw_seed(probability)
        x = x.contiguous()
        ctx.save_for_backward(x)
        return _run(ctx, x, None)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return _run(ctx, ctx.saved_tensors[0], gradient.contiguous()), None, None


def _run(ctx: Any, x: Tensor, gradient: Tensor | None) -> Tensor:
    out = torch.empty_like(x)
    if x.numel():
        _activate[(triton.cdiv(x.numel(), ACTIVATED_BLOCK),)](
            x, gradient, out, x.numel(), 1 / (1 - ctx.probability), ctx.seed, seed_base(x.device), threshold_of(ctx.probability),
            bool(ACTIVATIONS[ctx.name]), ctx.probability > 0, gradient is not None, ACTIVATED_BLOCK,
        )  # fmt: skip
    return out


class _GatedLinearUnit(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: Tensor) -> Tensor:
        x, padding = x.contiguous(), padding.contiguous()
        ctx.save_for_backward(x, padding)
        return _run_gate(x, padding, None, x.new_empty(*x.shape[:-1], x.size(-1) // 2))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        x, padding = ctx.saved_tensors
        return _run_gate(x, padding, gradient.contiguous(), torch.empty_like(x)), None


def _run_gate(x: Tensor, padding: Tensor, gradient: Tensor | None, out: Tensor) -> Tensor:
    dim, num_rows = x.size(-1) // 2, padding.numel()
    if num_rows:
        rows, width = 8, 256
        _gate[(triton.cdiv(num_rows, rows), triton.cdiv(dim, width))](
            x, padding.view(torch.uint8), gradient, out, num_rows, dim, gradient is not None, rows, width
        )
    return out


def activate(x: Tensor, name: str, probability: float) -> Tensor:
    """dropout(activation(x)); `name` is one of ACTIVATIONS."""
    return _Activation.apply(x, name, probability)


def gated_linear_unit(x: Tensor, padding: Tensor) -> Tensor:
    """(B, S, 2 C) -> (B, S, C), zero where `padding` (B, S) is True."""
    return _GatedLinearUnit.apply(x, padding)
