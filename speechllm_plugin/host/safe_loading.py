"""What torch's safe loader lets through: `torch.load(..., weights_only=True)`, the default since torch 2.6.

Checkpoints whose parts are all configured by dataclasses need nothing. All names here are plain containers.
"""

import argparse
import collections
import re
import typing

import torch


def allow_namespaces() -> None:
    """The options of tasks without a dataclass, which checkpoints keep in a Namespace.

    Allowed for good: torch's context manager would take the name from the rest of the process, too.
    """
    torch.serialization.add_safe_globals([argparse.Namespace])


def allow_fairseq_containers() -> None:
    """What older checkpoints of fairseq hold (`argparse`), and a resume on several ranks, where rank 0 broadcasts its state."""
    from fairseq.distributed.utils import _TensorPlaceholder
    from omegaconf import DictConfig, ListConfig
    from omegaconf.base import ContainerMetadata, Metadata
    from omegaconf.nodes import AnyNode

    allow_namespaces()
    containers = [collections.defaultdict, dict, int, list, typing.Any]
    torch.serialization.add_safe_globals([*containers, AnyNode, ContainerMetadata, DictConfig, ListConfig, Metadata, _TensorPlaceholder])


def refusal(error: BaseException) -> str:
    """Why a file is no checkpoint that can be used, and what to do; never torch's advice to load it unsafely."""
    code = re.search(r"GLOBAL (\S+)", str(error))
    reason = f"it holds {code[1]}, which is not data and was not run" if code else "it is damaged, or none"
    return f"not a checkpoint that can be read safely ({reason}); remove it or save it again"
