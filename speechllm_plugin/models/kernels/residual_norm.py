"""Dropout, residual and LayerNorm in one pass, in Triton: what stands between two parts of a layer."""

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

ELEMENTS = 4096  # of a tile
BACKWARD_ELEMENTS, BACKWARD_STAGES, WIDEST_IN_STAGES = 1024, 3, 2048  # of a tile; tiles on their way from memory, for so many channels at most
PROGRAMS = 5 * 132  # that share the rows in backward: as many as fit on an H200 at a time; each sums what weights get of its rows


@triton.jit(do_not_specialize=["num_rows", "seed", "threshold"])
def _forward(
    x, branch, weight, bias, total, normed, mean, deviation, num_rows, dim, eps, factor, seed, seed_base, threshold,
    BRANCH: tl.constexpr, NORM: tl.constexpr, DROPOUT: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """total = x + factor * dropout(branch), where `factor` has the growth of what stays; normed = LayerNorm(total)."""
    row, column = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    place = row[:, None].to(tl.int64) * dim + column[None]
    inside = (row < num_rows)[:, None] & (column < dim)[None]
    states = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    if BRANCH:
        added = tl.load(branch + place, mask=inside, other=0.0).to(tl.float32) * factor
        if DROPOUT:
            added = tl.where(keeps(place, seed + tl.load(seed_base), threshold), added, 0.0)
        states = (states + added).to(total.dtype.element_ty).to(tl.float32)
        tl.store(total + place, states.to(total.dtype.element_ty), mask=inside)
    if NORM:
        centre = tl.sum(states, 1) / dim
        centred = tl.where((column < dim)[None], states - centre[:, None], 0.0)
        inverse = tl.rsqrt(tl.sum(centred * centred, 1) / dim + eps)
        gain = tl.load(weight + column, mask=column < dim, other=0.0).to(tl.float32)
        shift = tl.load(bias + column, mask=column < dim, other=0.0).to(tl.float32)
        out = centred * inverse[:, None] * gain[None] + shift[None]
        tl.store(normed + place, out.to(normed.dtype.element_ty), mask=inside)
        tl.store(mean + row, centre, mask=row < num_rows)
        tl.store(deviation + row, inverse, mask=row < num_rows)


@triton.jit
def _both(a, b, c, d):
    return a + c, b + d


@triton.jit(do_not_specialize=["num_rows", "seed", "threshold"])
def _backward(
    total, total_gradient, normed_gradient, weight, mean, deviation, x_gradient, branch_gradient, sums,
    num_rows, dim, factor, seed, seed_base, threshold,
    BRANCH: tl.constexpr, NORM: tl.constexpr, TOTAL: tl.constexpr, DROPOUT: tl.constexpr, BIAS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """Gradients of x and of the branch, and in `sums` (kinds, programs, C) those of the norm's weight and bias, then of the branch's bias."""
    column = tl.arange(0, WIDTH)
    is_column = column < dim
    weight_sum = tl.zeros((ROWS, WIDTH), tl.float32)  # over rows only behind the loop: in it that would cost more than the memory
    bias_sum = tl.zeros((ROWS, WIDTH), tl.float32)
    branch_sum = tl.zeros((ROWS, WIDTH), tl.float32)
    if NORM:
        gain = tl.load(weight + column, mask=is_column, other=0.0).to(tl.float32)[None]
    for tile in tl.range(tl.program_id(0), tl.cdiv(num_rows, ROWS), tl.num_programs(0), num_stages=STAGES):
        row = tile * ROWS + tl.arange(0, ROWS)
        place = row[:, None].to(tl.int64) * dim + column[None]
        inside = (row < num_rows)[:, None] & is_column[None]
        gradient = tl.zeros((ROWS, WIDTH), tl.float32)
        if NORM:
            states = tl.load(total + place, mask=inside, other=0.0).to(tl.float32)
            out = tl.load(normed_gradient + place, mask=inside, other=0.0).to(tl.float32)  # zero outside, and with it all sums
            centre = tl.load(mean + row, mask=row < num_rows, other=0.0)
            inverse = tl.load(deviation + row, mask=row < num_rows, other=0.0)
            scaled = (states - centre[:, None]) * inverse[:, None]
            weight_sum += out * scaled
            bias_sum += out
            weighted = out * gain
            along, middle = tl.reduce((weighted * scaled, weighted), 1, _both)
            gradient = (weighted - scaled * (along / dim)[:, None] - (middle / dim)[:, None]) * inverse[:, None]
        if TOTAL:
            gradient += tl.load(total_gradient + place, mask=inside, other=0.0).to(tl.float32)
        if NORM:  # without a norm, the gradient of x is total_gradient itself
            tl.store(x_gradient + place, gradient.to(x_gradient.dtype.element_ty), mask=inside)
        if BRANCH:
            part = gradient * factor
            if DROPOUT:
                part = tl.where(keeps(place, seed + tl.load(seed_base), threshold), part, 0.0)
            branch_sum += part
            tl.store(branch_gradient + place, part.to(branch_gradient.dtype.element_ty), mask=inside)
    sums += tl.program_id(0) * dim + column
    kind = tl.num_programs(0) * dim
    if NORM:
        tl.store(sums, tl.sum(weight_sum, 0), mask=is_column)
        tl.store(sums + kind, tl.sum(bias_sum, 0), mask=is_column)
        sums += 2 * kind
    if BIAS:
        tl.store(sums, tl.sum(branch_sum, 0), mask=is_column)


class _ResidualNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, branch: Tensor | None, branch_bias: Tensor | None, weight: Tensor | None, bias: Tensor | None, factor: float,
        probability: float, eps: float, dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        dim = x.size(-1)
        x, branch = x.contiguous(), None if branch is None else branch.contiguous()
        num_rows, width = x.numel() // dim, triton.next_power_of_2(dim)
        rows = max(1, ELEMENTS // width)
        total = x if branch is None else torch.empty_like(x)
        normed = x.new_empty(x.shape if weight is not None else 0, dtype=dtype)
        mean, deviation = (x.new_empty(num_rows, dtype=torch.float32) for _ in range(2))
        ctx.factor, ctx.seed, ctx.probability, ctx.width = factor / (1 - probability), draw_seed(probability), probability, width
        if num_rows:
            _forward[(triton.cdiv(num_rows, rows),)](
                x, branch, weight, bias, total, normed, mean, deviation, num_rows, dim, eps, ctx.factor,
                ctx.seed, seed_base(x.device), threshold_of(probability),
                branch is not None, weight is not None, probability > 0, rows, width,
            )  # fmt: skip
        ctx.save_for_backward(total if weight is not None else None, weight, mean, deviation)
        ctx.has_branch, ctx.branch_dtype = branch is not None, None if branch is None else branch.dtype
        ctx.branch_bias_dtype = None if branch_bias is None else branch_bias.dtype
        ctx.set_materialize_grads(False)
        return total, normed

    @staticmethod
    def backward(ctx: Any, total_gradient: Tensor | None, normed_gradient: Tensor | None) -> tuple[Any, ...]:
        total, weight, mean, deviation = ctx.saved_tensors
        given = normed_gradient if weight is not None and normed_gradient is not None else None
        example = given if given is not None else total_gradient
        if example is None or given is None and not ctx.has_branch:
            return total_gradient, *(None,) * 8
        dim, has_norm, has_bias = example.size(-1), given is not None, ctx.branch_bias_dtype is not None
        total_gradient = None if total_gradient is None else total_gradient.contiguous()
        given = None if given is None else given.contiguous()
        x_gradient = torch.empty_like(total) if has_norm else total_gradient
        branch_gradient = torch.empty(example.shape, dtype=ctx.branch_dtype, device=example.device) if ctx.has_branch else None
        num_rows, rows = example.numel() // dim, max(1, BACKWARD_ELEMENTS // ctx.width)
        programs = max(1, min(PROGRAMS, triton.cdiv(num_rows, rows)))
        sums = torch.empty(2 * has_norm + has_bias, programs, dim, dtype=torch.float32, device=example.device)
        _backward[(programs,)](
            total, total_gradient, given, weight, mean, deviation, x_gradient, branch_gradient, sums,
            num_rows, dim, ctx.factor, ctx.seed, seed_base(example.device), threshold_of(ctx.probability),
            ctx.has_branch, has_norm, total_gradient is not None, ctx.probability > 0, has_bias, rows, ctx.width,
            BACKWARD_STAGES if ctx.width <= WIDEST_IN_STAGES else 1,
        )  # fmt: skip
        of_weights = added_up(sums, weight.dtype if has_norm else ctx.branch_bias_dtype or torch.float32)
        branch_bias_gradient = of_weights[-1].to(ctx.branch_bias_dtype) if has_bias else None
        return x_gradient, branch_gradient, branch_bias_gradient, *(of_weights[:2] if has_norm else (None, None)), None, None, None, None


def add_norm(
    x: Tensor, branch: Tensor, branch_bias: Tensor | None, norm: torch.nn.LayerNorm, factor: float, probability: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """x + factor * dropout(branch) in the type of x, and the LayerNorm of that in `dtype`; (..., C) each.

    `branch_bias` (C,), if any, has been added to the branch without autograd's knowledge: its gradient comes from here.
    """
    return _ResidualNorm.apply(x, branch, branch_bias, norm.weight, norm.bias, factor, probability, norm.eps, dtype)


def add(x: Tensor, branch: Tensor, branch_bias: Tensor | None, factor: float, probability: float) -> Tensor:
    """x + factor * dropout(branch) in the type of x; `branch_bias` as in `add_norm`."""
    return _ResidualNorm.apply(x, branch, branch_bias, None, None, factor, probability, 0.0, x.dtype)[0]


def layer_norm(x: Tensor, norm: torch.nn.LayerNorm, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x (..., C), and its LayerNorm in `dtype`; backward adds up the gradients of the two."""
    return _ResidualNorm.apply(x, None, None, norm.weight, norm.bias, 1.0, 0.0, norm.eps, dtype)
