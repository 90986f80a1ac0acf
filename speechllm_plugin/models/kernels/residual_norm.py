"""Dropout, residual and LayerNorm in one pass, in Triton: what stands between two parts of a layer."""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function

from speechllm_plugin.models.kernels.random_mask import keeps
from speechllm_plugin.models.kernels.seeds import draw_seed, seed_base, threshold_of

ELEMENTS = 4096  # of a tile
BACKWARD_ELEMENTS, BACKWARD_WARPS = 4096, 4
PROGRAMS = 1024  # that share the rows in backward; each sums the gradients of the norm's weights over its own


@triton.jit(do_not_specialize=["seed", "threshold"])
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


@triton.jit(do_not_specialize=["seed", "threshold"])
def _backward(
    total, total_gradient, normed_gradient, weight, mean, deviation, x_gradient, branch_gradient, weight_sums, bias_sums,
    num_rows, dim, factor, seed, seed_base, threshold,
    BRANCH: tl.constexpr, NORM: tl.constexpr, TOTAL: tl.constexpr, DROPOUT: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Gradients of x and of the branch, and each program's sums for those of the norm's weights."""
    column = tl.arange(0, WIDTH)
    weight_sum = tl.zeros((WIDTH,), tl.float32)
    bias_sum = tl.zeros((WIDTH,), tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(num_rows, ROWS), tl.num_programs(0)):
        row = tile * ROWS + tl.arange(0, ROWS)
        place = row[:, None].to(tl.int64) * dim + column[None]
        inside = (row < num_rows)[:, None] & (column < dim)[None]
        gradient = tl.zeros((ROWS, WIDTH), tl.float32)
        if NORM:
            states = tl.load(total + place, mask=inside, other=0.0).to(tl.float32)
            out = tl.load(normed_gradient + place, mask=inside, other=0.0).to(tl.float32)
            centre = tl.load(mean + row, mask=row < num_rows, other=0.0)
            inverse = tl.load(deviation + row, mask=row < num_rows, other=0.0)
            scaled = tl.where(inside, (states - centre[:, None]) * inverse[:, None], 0.0)
            weight_sum += tl.sum(out * scaled, 0)
            bias_sum += tl.sum(out, 0)
            weighted = out * tl.load(weight + column, mask=column < dim, other=0.0).to(tl.float32)[None]
            along = tl.sum(weighted * scaled, 1) / dim
            gradient = (weighted - scaled * along[:, None] - (tl.sum(weighted, 1) / dim)[:, None]) * inverse[:, None]
        if TOTAL:
            gradient += tl.load(total_gradient + place, mask=inside, other=0.0).to(tl.float32)
        tl.store(x_gradient + place, gradient.to(x_gradient.dtype.element_ty), mask=inside)
        if BRANCH:
            part = gradient * factor
            if DROPOUT:
                part = tl.where(keeps(place, seed + tl.load(seed_base), threshold), part, 0.0)
            tl.store(branch_gradient + place, part.to(branch_gradient.dtype.element_ty), mask=inside)
    if NORM:
        tl.store(weight_sums + tl.program_id(0) * dim + column, weight_sum, mask=column < dim)
        tl.store(bias_sums + tl.program_id(0) * dim + column, bias_sum, mask=column < dim)


class _ResidualNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, branch: Tensor | None, weight: Tensor | None, bias: Tensor | None, factor: float, probability: float,
        eps: float, dtype: torch.dtype,
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
        ctx.set_materialize_grads(False)
        if branch is None:  # autograd wants outputs of their own
            total = x.new_empty(0)
            ctx.mark_non_differentiable(total)
        return total, normed

    @staticmethod
    def backward(ctx: Any, total_gradient: Tensor | None, normed_gradient: Tensor | None) -> tuple[Any, ...]:
        total, weight, mean, deviation = ctx.saved_tensors
        given = normed_gradient if weight is not None and normed_gradient is not None else None
        if not ctx.has_branch:
            total_gradient = None
        example = given if given is not None else total_gradient
        if example is None:
            return (None,) * 8
        dim, has_norm = example.size(-1), given is not None
        total_gradient = None if total_gradient is None else total_gradient.contiguous()
        given = None if given is None else given.contiguous()
        x_gradient = torch.empty_like(total if has_norm else example)
        branch_gradient = torch.empty(example.shape, dtype=ctx.branch_dtype, device=example.device) if ctx.has_branch else None
        num_rows, rows = example.numel() // dim, max(1, BACKWARD_ELEMENTS // ctx.width)
        programs = max(1, min(PROGRAMS, triton.cdiv(num_rows, rows)))
        sums = torch.empty(2, programs, dim, dtype=torch.float32, device=example.device)
        _backward[(programs,)](
            total, total_gradient, given, weight, mean, deviation, x_gradient, branch_gradient, sums[0], sums[1],
            num_rows, dim, ctx.factor, ctx.seed, seed_base(example.device), threshold_of(ctx.probability),
            ctx.has_branch, has_norm, total_gradient is not None, ctx.probability > 0, rows, ctx.width, num_warps=BACKWARD_WARPS,
        )  # fmt: skip
        weight_gradient, bias_gradient = sums.sum(1).to(weight.dtype).unbind() if has_norm else (None, None)
        return x_gradient, branch_gradient, weight_gradient, bias_gradient, None, None, None, None


def add_norm(x: Tensor, branch: Tensor, norm: torch.nn.LayerNorm, factor: float, probability: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x + factor * dropout(branch) in the type of x, and the LayerNorm of that in `dtype`; (..., C) each."""
    return _ResidualNorm.apply(x, branch, norm.weight, norm.bias, factor, probability, norm.eps, dtype)


def add(x: Tensor, branch: Tensor, factor: float, probability: float) -> Tensor:
    """x + factor * dropout(branch) in the type of x."""
    return _ResidualNorm.apply(x, branch, None, None, factor, probability, 0.0, x.dtype)[0]


def layer_norm(x: Tensor, norm: torch.nn.LayerNorm, dtype: torch.dtype) -> Tensor:
    """The LayerNorm of x (..., C) in `dtype`."""
    return _ResidualNorm.apply(x, None, norm.weight, norm.bias, 1.0, 0.0, norm.eps, dtype)[1]
