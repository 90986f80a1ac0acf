"""Parts of one projection whose gradients are put together without a copy, where they were written side by side."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def parts_of(projected: Tensor, num_parts: int) -> tuple[Tensor, ...]:
    """The (..., C) parts of (..., num_parts * C), as `chunk` has them; backward copies nothing if their gradients are adjacent in memory."""
    return _Parts.apply(projected, num_parts)


def are_adjacent(parts: Sequence[Tensor], width: int) -> bool:
    """Whether each part lies in the same memory as the one before it, `width` elements behind it."""
    first = parts[0]
    return all(
        part.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and (part.shape, part.stride(), part.dtype) == (first.shape, first.stride(), first.dtype)
        and part.storage_offset() == first.storage_offset() + number * width
        for number, part in enumerate(parts)
    )


class _Parts(Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, num_parts: int) -> tuple[Tensor, ...]:
        return projected.chunk(num_parts, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        first, width = gradients[0], gradients[0].size(-1)
        if first.stride(-1) != 1 or not are_adjacent(gradients, width):
            return torch.cat(gradients, -1), None
        return first.as_strided((*first.shape[:-1], len(gradients) * width), first.stride(), first.storage_offset()), None
