"""Tensors whose gradient takes their place in memory: what a loss saves of a model's logits is as large as all else that it makes together."""

import torch
from torch import Tensor


def given_up(logits: Tensor) -> Tensor:
    """The logits, over which their gradient may be written: as they are if autograd computed them, else (weights, say, or a view of them) a copy.

    In both the types of one position lie side by side.
    """
    whole = logits if logits._base is None else logits._base
    is_free = whole.grad_fn is not None and logits.stride(-1) == 1
    return logits if is_free else logits.clone(memory_format=torch.contiguous_format)


def written_over(logits: Tensor) -> Tensor:
    """The gradient that now stands where the logits stood. Autograd raises its error if anything else needs what is gone, or if it comes back."""
    torch.autograd.graph.increment_version(logits)
    return logits.detach()
