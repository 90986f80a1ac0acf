"""Label-smoothed cross-entropy in Triton: logits are read twice and their gradient is written once, over them."""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from speechllm_plugin.models.kernels.log_normaliser import TYPES_AT_ONCE, log_normaliser
from speechllm_plugin.models.kernels.written_over import given_up, written_over

TEXT_SIZES = ["num_positions", "num_types", "stride_sentence", "stride_position", "padding"]


@triton.jit(do_not_specialize=TEXT_SIZES)
def _token_losses(
    logits, target, normaliser, plain_loss, spread_loss, num_positions, num_types, stride_sentence, stride_position, padding, TYPES: tl.constexpr
):
    """Per token the normaliser, the cross-entropy, and the sum of those of all types; 0 at padding."""
    sentence, position = tl.program_id(0), tl.program_id(1)
    where = sentence.to(tl.int64) * num_positions + position
    token = tl.load(target + where)
    if token == padding:
        tl.store(plain_loss + where, 0.0)
        tl.store(spread_loss + where, 0.0)
    else:
        row = logits + sentence.to(tl.int64) * stride_sentence + position.to(tl.int64) * stride_position
        whole, plain = log_normaliser(row, num_types, TYPES)
        tl.store(normaliser + where, whole)
        tl.store(plain_loss + where, whole - tl.load(row + token).to(tl.float32))
        tl.store(spread_loss + where, num_types * whole - plain)


@triton.jit(do_not_specialize=TEXT_SIZES)
def _token_gradient(
    logits, target, normaliser, gradient, num_positions, num_types, stride_sentence, stride_position, padding, of_target, of_each,
    TYPES: tl.constexpr,
):  # fmt: skip
    """Over the logits of a token their gradient for the loss of_target * cross-entropy + of_each * the sum of those of all types."""
    sentence, position = tl.program_id(0), tl.program_id(1)
    where = sentence.to(tl.int64) * num_positions + position
    row = logits + sentence.to(tl.int64) * stride_sentence + position.to(tl.int64) * stride_position
    token, factor = tl.load(target + where), tl.load(gradient)
    is_real = token != padding
    whole = tl.load(normaliser + where, mask=is_real, other=0.0)
    for first in range(0, num_types, TYPES):
        place = first + tl.arange(0, TYPES)
        inside = place < num_types
        probability = tl.exp(tl.load(row + place, mask=inside & is_real, other=0.0).to(tl.float32) - whole)
        result = factor * ((of_target + of_each * num_types) * probability - of_each - tl.where(place == token, of_target, 0.0))
        tl.store(row + place, tl.where(is_real, result, 0.0).to(logits.dtype.element_ty), mask=inside)


class _SmoothedLoss(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, of_target: float, of_each: float, padding: int) -> tuple[Tensor, Tensor]:
        logits, target = given_up(logits), target.contiguous()
        normaliser, plain, spread = torch.empty(3, *target.shape, device=logits.device)
        sizes = logits.size(1), logits.size(2), logits.stride(0), logits.stride(1), padding
        if target.numel():
            _token_losses[target.shape](logits, target, normaliser, plain, spread, *sizes, TYPES_AT_ONCE, num_warps=4)
        ctx.save_for_backward(logits, target, normaliser)
        ctx.sizes, ctx.shares = sizes, (of_target, of_each)
        plain_loss = plain.sum()
        ctx.mark_non_differentiable(plain_loss)
        return of_target * plain_loss + of_each * spread.sum(), plain_loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, of_plain_loss: None) -> tuple[Any, ...]:
        logits, target, normaliser = ctx.saved_tensors
        if target.numel():
            _token_gradient[target.shape](logits, target, normaliser, gradient.float(), *ctx.sizes, *ctx.shares, TYPES_AT_ONCE, num_warps=4)
        return written_over(logits), None, None, None, None


def smoothed_loss(logits: Tensor, target: Tensor, of_target: float, of_each: float, padding: int) -> tuple[Tensor, Tensor]:
    """The sum over all tokens of of_target * cross-entropy + of_each * the sum of those of all types, and that of the cross-entropy alone.

    Computed in float32; the second has no gradient.

    Args:
        logits: (B, U, V) of any floating type. Those of a model hold their gradient after the backward pass.
        target: (B, U), `padding` where there is none.
    """
    return _SmoothedLoss.apply(logits, target, of_target, of_each, padding)
