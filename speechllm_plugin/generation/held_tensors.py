"""The tensors that objects hold, in their attributes, lists and dictionaries: found, described, and replaced by others of the same shapes."""

from typing import Any

import torch
from torch import Tensor

HOST_VALUES = (bool, int, float, str, type(None), torch.dtype, torch.device)


class HeldTensors:
    """The tensors of some objects.

    Attributes:
        description: equal for objects that differ in nothing but the content of their tensors.
        tensors: in the order of the description.
    """

    def __init__(self, objects: list):
        self.description: list = []
        self.tensors: list[Tensor] = []
        self.places: list[tuple[Any, Any]] = []  # holder, and its index, key or attribute
        self.find(objects)

    def find(self, holder: Any) -> None:
        for key, value in list(items_of(holder)):
            if isinstance(value, Tensor):
                self.description.append((key, value.shape, value.dtype, value.device))
                self.tensors.append(value)
                self.places.append((holder, key))
            elif isinstance(value, HOST_VALUES):
                self.description.append((key, type(value), value))
            elif isinstance(value, (list, dict)) or hasattr(value, "__dict__"):
                self.description.append((key, type(value)))
                self.find(value)
            else:
                self.description.append((key, object()))  # equal to nothing: whatever it holds could not be replaced

    @property
    def num_bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)

    def move_into(self, objects: list) -> None:
        """Give these tensors the content of those of the objects, which are described alike, and let the objects hold these instead."""
        others = HeldTensors(objects)
        for (holder, key), own, other in zip(others.places, self.tensors, others.tensors, strict=True):
            own.copy_(other)
            if isinstance(holder, (list, dict)):
                holder[key] = own
            else:
                setattr(holder, key, own)


def items_of(holder: Any) -> Any:
    """(index, key or attribute, value) of what is held."""
    if isinstance(holder, list):
        return enumerate(holder)
    return (holder if isinstance(holder, dict) else vars(holder)).items()
