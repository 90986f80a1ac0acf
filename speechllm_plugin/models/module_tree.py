"""The modules of a model, as every update asks for them: torch's own walks take milliseconds for a few hundred modules."""

from typing import Any

from torch import nn


def modules_of(root: nn.Module) -> list[nn.Module]:
    """A module and all below it; one with two parents comes twice. Found anew, as modules may be replaced."""
    found = [root]
    for module in found:  # grows meanwhile
        if module._modules:
            found += [child for child in module._modules.values() if child is not None]
    return found


def all_in_mode(root: nn.Module, mode: bool) -> bool:
    """Whether every module trains, or none does: then `train(mode)` has nothing to do."""
    return all(module.training is mode for module in modules_of(root))


def modules_with(root: nn.Module, method: str) -> list[Any]:
    """The modules below one for which `hasattr` finds the method."""
    below = modules_of(root)[1:]
    # By their class, or elsewhere, as wrappers do; hasattr is slow where the answer is no.
    kinds = {kind for kind in set(map(type, below)) if hasattr(kind, method) or getattr(kind, "__getattr__", None) is not nn.Module.__getattr__}
    return [module for module in below if (type(module) in kinds or method in vars(module)) and hasattr(module, method)]
