"""What stands between two parts of a layer: dropout, the residual, and the LayerNorm of the next part; one kernel where training is on a GPU."""

import torch
from torch import Tensor, nn

from speechllm_plugin.models import kernels
from speechllm_plugin.models.dropout import dropped, probability_now


def computing_dtype(x: Tensor) -> torch.dtype:
    """What matrix products around x are computed in: autocast's type, else that of x."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def normed(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """The LayerNorm of x (B, S, C)."""
    if kernels.for_training(x):
        return kernels.layer_norm(x, norm, computing_dtype(x))
    return norm(x)


def add(x: Tensor, branch: Tensor, dropout: nn.Dropout, factor: float = 1.0) -> Tensor:
    """x + factor * dropout(branch), (B, S, C), in the type of x."""
    if kernels.for_training(x):
        return kernels.add(x, branch, None, factor, probability_now(dropout))
    return (x + dropped(branch, dropout, factor)).to(x.dtype)


def add_normed(x: Tensor, branch: Tensor, dropout: nn.Dropout, norm: nn.LayerNorm, factor: float = 1.0) -> tuple[Tensor, Tensor]:
    """As `add`, and the LayerNorm of the sum."""
    if kernels.for_training(x):
        return kernels.add_norm(x, branch, None, norm, factor, probability_now(dropout), computing_dtype(x))
    x = add(x, branch, dropout, factor)
    return x, norm(x)
