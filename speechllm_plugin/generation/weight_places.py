"""Where the weights of modules lie: a CUDA graph reads what lies there, and no longer serves once they lie elsewhere."""

from collections.abc import Iterable

import torch
from torch import nn


def weight_places(modules: Iterable[nn.Module]) -> list[tuple[int, torch.dtype]]:
    """Address and type of all parameters and buffers, in an order of their own: equal as long as each is changed in place only.

    Their own dictionaries are read, as this is asked before every search: `parameters()` and `buffers()` take four times as long.
    """
    places, waiting = [], list(modules)
    while waiting:
        module = waiting.pop()
        tensors = (*module._parameters.values(), *module._buffers.values())
        places += [(tensor.data_ptr(), tensor.dtype) for tensor in tensors if tensor is not None]
        waiting += [child for child in module._modules.values() if child is not None]
    return places
