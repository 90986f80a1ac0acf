"""Activations with the bias before them and what follows them, in Triton: dropout behind ReLU or SiLU, the zeroing of padding behind a
gated linear unit. Backward sums the gradient of the bias on its way: torch would read all of it once more."""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function

from speechllm_plugin.models.kernels.program_sums import added_up
from speechllm_plugin.models.kernels.random_mask import keeps
from speechllm_plugin.models.kernels.seeds import draw_seed, seed_base, threshold_of

TILE = {"ROWS": 8, "COLUMNS": 256}
# Tiles on their way from memory, and programs at most: of a forward and of a backward pass of an activation, then of a gate. In backward each
# program sums the gradient of the bias over its tiles.
ACTIVATION_LAUNCHES = (1, 8192), (2, 2048)
GATE_LAUNCHES = (1, 8192), (2, 1024)
ACTIVATIONS = {"relu": 0, "silu": 1}


@triton.jit
def _sigmoid(x):
    """As tl.sigmoid in half the instructions, of which the kernels had so many that memory waited: a division takes six, a reciprocal root one."""
    root = tl.rsqrt(1 + tl.exp2(x * -1.4426950408889634))  # 1 / ln 2
    return root * root


@triton.jit(do_not_specialize=["num_rows", "seed", "threshold"])
def _activate(
    x, bias, gradient, out, sums, num_rows, dim, growth, seed, seed_base, threshold,
    SILU: tl.constexpr, DROPOUT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """The activation of x + bias, or with a gradient of its output that of x and its sums; dropped elements are zero, the others grow."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = column < dim
    shift = 0.0 if bias is None else tl.load(bias + column, mask=is_column, other=0.0).to(tl.float32)[None]
    own_seed = seed + tl.load(seed_base)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for tile in tl.range(tl.program_id(1), tl.cdiv(num_rows, ROWS), tl.num_programs(1), num_stages=STAGES):
        row = tile * ROWS + tl.arange(0, ROWS)
        place, inside = row[:, None].to(tl.int64) * dim + column[None], (row < num_rows)[:, None] & is_column[None]
        value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) + shift
        if SILU:
            gate = _sigmoid(value)
            result = value * gate if gradient is None else gate * (1 + value * (1 - gate))
        else:
            result = tl.where(value > 0, value if gradient is None else 1.0, 0.0)
        if gradient is not None:
            result *= tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
        if DROPOUT:
            result = tl.where(keeps(place, own_seed, threshold), result * growth, 0.0)
        tl.store(out + place, result.to(out.dtype.element_ty), mask=inside)
        if sums is not None:
            total += result
    if sums is not None:
        tl.store(sums + tl.program_id(1) * dim + column, tl.sum(total, 0), mask=is_column)


@triton.jit(do_not_specialize=["num_rows"])
def _gate(x, bias, padding, gradient, out, sums, num_rows, dim, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STAGES: tl.constexpr):
    """Per row of (2 C), with the bias, the first half times the sigmoid of the second, zero at padding; or the gradient of x and its sums."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    is_column = column < dim
    shift = 0.0 if bias is None else tl.load(bias + column, mask=is_column, other=0.0).to(tl.float32)[None]
    gate_shift = 0.0 if bias is None else tl.load(bias + dim + column, mask=is_column, other=0.0).to(tl.float32)[None]
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    gate_total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for tile in tl.range(tl.program_id(1), tl.cdiv(num_rows, ROWS), tl.num_programs(1), num_stages=STAGES):
        row = tile * ROWS + tl.arange(0, ROWS)
        inside = (row < num_rows)[:, None] & is_column[None]
        real = (tl.load(padding + row, mask=row < num_rows, other=1) == 0)[:, None] & is_column[None]
        wide, narrow = row[:, None].to(tl.int64) * 2 * dim + column[None], row[:, None].to(tl.int64) * dim + column[None]
        value = tl.load(x + wide, mask=real, other=0.0).to(tl.float32) + shift
        gate = _sigmoid(tl.load(x + wide + dim, mask=real, other=0.0).to(tl.float32) + gate_shift)
        if gradient is None:
            tl.store(out + narrow, tl.where(real, value * gate, 0.0).to(out.dtype.element_ty), mask=inside)
        else:
            value_gradient = tl.load(gradient + narrow, mask=real, other=0.0).to(tl.float32) * gate
            gate_gradient = value_gradient * value * (1 - gate)
            tl.store(out + wide, value_gradient.to(out.dtype.element_ty), mask=inside)
            tl.store(out + wide + dim, gate_gradient.to(out.dtype.element_ty), mask=inside)
            if sums is not None:
                total += value_gradient
                gate_total += gate_gradient
    if sums is not None:
        place = sums + tl.program_id(1) * 2 * dim + column
        tl.store(place, tl.sum(total, 0), mask=is_column)
        tl.store(place + dim, tl.sum(gate_total, 0), mask=is_column)


class _Activation(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, name: str, probability: float) -> Tensor:
        ctx.name, ctx.probability, ctx.seed = name, probability, draw_seed(probability)
        x = x.contiguous()
        ctx.save_for_backward(x, bias)
        return _run(ctx, x, bias, None)[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        x, bias = ctx.saved_tensors
        return *_run(ctx, x, bias, gradient.contiguous()), None, None


def _run(ctx: Any, x: Tensor, bias: Tensor | None, gradient: Tensor | None) -> tuple[Tensor, Tensor | None]:
    out, dim = torch.empty_like(x), x.size(-1)
    num_rows = x.numel() // dim
    grid, stages, sums = _launch(ctx, x, num_rows, dim, gradient, ACTIVATION_LAUNCHES)
    if num_rows:
        _activate[grid](
            x, bias, gradient, out, sums, num_rows, dim, 1 / (1 - ctx.probability), ctx.seed, seed_base(x.device), threshold_of(ctx.probability),
            bool(ACTIVATIONS[ctx.name]), ctx.probability > 0, **TILE, STAGES=stages,
        )  # fmt: skip
    return out, _bias_gradient(bias, sums)


class _GatedLinearUnit(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, padding: Tensor) -> Tensor:
        x, padding = x.contiguous(), padding.contiguous()
        ctx.save_for_backward(x, bias, padding)
        return _run_gate(ctx, x, bias, padding, None, x.new_empty(*x.shape[:-1], x.size(-1) // 2))[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        x, bias, padding = ctx.saved_tensors
        return *_run_gate(ctx, x, bias, padding, gradient.contiguous(), torch.empty_like(x)), None


def _run_gate(ctx: Any, x: Tensor, bias: Tensor | None, padding: Tensor, gradient: Tensor | None, out: Tensor) -> tuple[Tensor, Tensor | None]:
    num_rows, dim = padding.numel(), x.size(-1) // 2
    grid, stages, sums = _launch(ctx, x, num_rows, dim, gradient, GATE_LAUNCHES)
    if num_rows:
        _gate[grid](x, bias, padding.view(torch.uint8), gradient, out, sums, num_rows, dim, **TILE, STAGES=stages)
    return out, _bias_gradient(bias, sums)


def _launch(
    ctx: Any, x: Tensor, num_rows: int, dim: int, gradient: Tensor | None, launches: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[tuple[int, int], int, Tensor | None]:
    """Blocks of columns and the programs that share their rows; stages; and (programs, columns of x) for sums, if backward owes the bias some."""
    stages, most_programs = launches[gradient is not None]
    blocks = triton.cdiv(dim, TILE["COLUMNS"])
    programs = min(triton.cdiv(num_rows, TILE["ROWS"]), max(1, most_programs // blocks))
    owes_bias = gradient is not None and ctx.needs_input_grad[1]
    return (blocks, programs), stages, x.new_empty(programs, x.size(-1), dtype=torch.float32) if owes_bias else None


def _bias_gradient(bias: Tensor | None, sums: Tensor | None) -> Tensor | None:
    return None if bias is None or sums is None else added_up(sums[None], bias.dtype)[0]


def activate(x: Tensor, bias: Tensor | None, name: str, probability: float) -> Tensor:
    """dropout(activation(x + bias)) of x (..., C) and bias (C,); `name` is one of ACTIVATIONS."""
    return _Activation.apply(x, bias, name, probability)


def gated_linear_unit(x: Tensor, bias: Tensor | None, padding: Tensor) -> Tensor:
    """(B, S, 2 C) and a bias (2 C,) -> (B, S, C), zero where `padding` (B, S) is True."""
    return _GatedLinearUnit.apply(x, bias, padding)
