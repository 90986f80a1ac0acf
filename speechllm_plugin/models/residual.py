"""What stands between two parts of a layer: dropout, the residual, and the LayerNorm of the next part; one kernel where training is on a GPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear

from speechllm_plugin.models import kernels
from speechllm_plugin.models.dropout import dropped, probability_now


def computing_dtype(x: Tensor) -> torch.dtype:
    """What matrix products around x are computed in: autocast's type, else that of x."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def normed(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """The LayerNorm of x (B, S, C)."""
    return with_normed(x, norm)[1]


def with_normed(x: Tensor, norm: nn.LayerNorm) -> tuple[Tensor, Tensor]:
    """x (B, S, C) for the residual, not to be written on, and its LayerNorm for the branch: one of the kernels adds up the gradients of both."""
    if kernels.for_training(x):
        return kernels.layer_norm(x, norm, computing_dtype(x))
    return x, norm(x)


class _Biased(Function):
    """A branch to which a bias has been added without autograd's knowledge: for anyone but `add`, who gets both from `in_parts`, as if it knew."""

    @staticmethod
    def forward(ctx: Any, branch: Tensor, bias: Tensor) -> Tensor:
        ctx.branch_and_bias = branch, bias
        return branch.data  # no view, so that others may write on it

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, gradient.flatten(0, -2).sum(0).to(ctx.branch_and_bias[1].dtype)


def branch_end(states: Tensor, layer: nn.Linear) -> Tensor:
    """layer(states), the last of a branch.

    Where kernels train, `add` finds the gradient of its bias on its way: torch would read all of the branch's gradient once more for it. That
    goes past this tensor, whose own `grad` and hooks then see nothing.
    """
    has_kernel = kernels.for_training(states) and kernels.is_plain(layer, nn.Linear)
    if not has_kernel or layer.bias is None or not layer.bias.requires_grad:
        return layer(states)
    return _Biased.apply(linear(states, layer.weight, layer.bias.detach()), layer.bias)


def in_parts(branch: Tensor) -> tuple[Tensor, Tensor | None]:
    """The branch, and the bias in it of which autograd does not know; None if it knows all."""
    return getattr(branch.grad_fn, "branch_and_bias", (branch, None))


def add(x: Tensor, branch: Tensor, dropout: nn.Dropout, factor: float = 1.0) -> Tensor:
    """x + factor * dropout(branch), (B, S, C), in the type of x."""
    if kernels.for_training(x):
        return kernels.add(x, *in_parts(branch), factor, probability_now(dropout))
    return (x + dropped(branch, dropout, factor)).to(x.dtype)


def add_normed(x: Tensor, branch: Tensor, dropout: nn.Dropout, norm: nn.LayerNorm, factor: float = 1.0) -> tuple[Tensor, Tensor]:
    """As `add`, and the LayerNorm of the sum."""
    if kernels.for_training(x):
        return kernels.add_norm(x, *in_parts(branch), norm, factor, probability_now(dropout), computing_dtype(x))
    x = add(x, branch, dropout, factor)
    return x, norm(x)
