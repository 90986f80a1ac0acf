"""Batches that a loader's worker sends to the main process through memory that both have."""

import itertools
import math
from typing import Any

import torch

PLACE_BYTES = 64  # of which each tensor begins at a multiple


def sendable_zeros(*shape: int) -> torch.Tensor:
    """Zeros of float32, in a loader's worker in memory that the main process can map: torch would copy the whole batch there."""
    if torch.utils.data.get_worker_info() is None:
        return torch.zeros(shape)
    memory = torch.UntypedStorage._new_shared(math.prod(shape) * torch.float32.itemsize)  # as torch's own collation makes it; new, so it is zero
    return torch.empty(0).set_(memory, 0, shape)


def sent_together(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch; in a loader's worker with all that is not in such memory yet in one piece of it.

    torch opens a file and a connection for each, half a millisecond for both processes, and batches have eight tensors and more.
    """
    if torch.utils.data.get_worker_info() is None:
        return batch
    parts = (batch, batch["net_input"])
    places = [(part, name) for part in parts for name, value in part.items() if torch.is_tensor(value) and not value.is_shared()]
    sizes = [-(-part[name].nbytes // PLACE_BYTES) * PLACE_BYTES for part, name in places]
    memory = torch.UntypedStorage._new_shared(sum(sizes))
    for (part, name), start in zip(places, itertools.accumulate(sizes, initial=0)):
        value = part[name]
        part[name] = torch.empty(0, dtype=value.dtype).set_(memory, start // value.element_size(), value.shape).copy_(value)
    return batch
