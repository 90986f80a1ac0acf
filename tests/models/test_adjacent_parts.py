"""Parts of a projection: their gradients are those of `chunk`, and are not copied where they lie side by side."""

import pytest
import torch
from torch.autograd import Function

from speechllm_plugin.models.kernels.adjacent_parts import are_adjacent, parts_of


class SideBySide(Function):
    """The sum of its inputs, and gradients of which each is a part of one tensor: those of `order`."""

    memory = None

    @staticmethod
    def forward(ctx, order, *parts):
        ctx.order = order
        return sum(parts)

    @staticmethod
    def backward(ctx, gradient):
        SideBySide.memory = torch.stack([number * gradient for number in range(1, len(ctx.order) + 1)], dim=-2)
        return None, *(SideBySide.memory[..., number, :] for number in ctx.order)


# use of three parts -> whether their gradients stay where they are
USES = {
    "all": (lambda q, k, v: SideBySide.apply((0, 1, 2), q, k, v), True),
    "in another order": (lambda q, k, v: SideBySide.apply((1, 0, 2), q, k, v), False),
    "keys twice": (lambda q, k, v: SideBySide.apply((0, 1, 2), q, k, v) + k.exp(), False),
    "no queries": (lambda q, k, v: SideBySide.apply((0, 1), k, v), False),
    "turned keys": (lambda q, k, v: SideBySide.apply((0, 1, 2), q, k.flip(-1), v), False),
    "views": (lambda q, k, v: SideBySide.apply((0, 1, 2), *(x.unflatten(-1, (2, -1)).flatten(-2) for x in (q, k, v))), True),
}


@pytest.mark.parametrize("use", USES)
def test_gradients_are_those_of_chunk(use):
    attend, is_in_place = USES[use]
    leaf = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    upstream = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    projected, seen = leaf * 1.0, []
    projected.register_hook(seen.append)
    attend(*parts_of(projected, 3)).backward(upstream)
    assert (seen[0].data_ptr() == SideBySide.memory.data_ptr()) == is_in_place
    got, leaf.grad = leaf.grad, None
    attend(*leaf.chunk(3, -1)).backward(upstream)
    assert torch.equal(got, leaf.grad)
    parts = parts_of(leaf, 3)
    assert are_adjacent(parts, 4)
    assert not are_adjacent(parts[::-1], 4)
    assert all(map(torch.equal, parts, leaf.chunk(3, -1)))
