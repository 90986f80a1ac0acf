"""Lets fairseq's checkpoints through torch's safe loader: `torch.load(..., weights_only=True)`, the default since torch 2.6.

Checkpoints whose parts are all configured by dataclasses need nothing. The names below are what older checkpoints
(`argparse`) and a resume on several ranks (rank 0 broadcasts its state) hold; all of them are plain containers.
"""

import argparse
import collections
import typing

import torch
from fairseq.distributed.utils import _TensorPlaceholder
from omegaconf import DictConfig, ListConfig
from omegaconf.base import ContainerMetadata, Metadata
from omegaconf.nodes import AnyNode

torch.serialization.add_safe_globals(
    [
        argparse.Namespace,
        collections.defaultdict,
        dict,
        int,
        list,
        typing.Any,
        AnyNode,
        ContainerMetadata,
        DictConfig,
        ListConfig,
        Metadata,
        _TensorPlaceholder,
    ]
)
