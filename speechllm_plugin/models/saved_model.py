"""A model as a checkpoint holds it: architecture, flags and weights; and whether its weights are those of another model."""

from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from speechllm_plugin.files import checkpoint_file
from speechllm_plugin.models.config import SpeechToTextConfig
from speechllm_plugin.models.registry import architectures


class SavedModel(NamedTuple):
    """The model of a checkpoint.

    arch:         fairseq-train's --arch.
    cfg:          flags of the model.
    weights:      tensors by name.
    task:         flags of the task by name.
    vocabularies: digests by name (target, transcript), as far as it has some.
    """

    arch: str
    cfg: SpeechToTextConfig
    weights: dict[str, Tensor]
    task: dict[str, Any]
    vocabularies: dict[str, str]


def read(path: str | Path) -> SavedModel:
    """The model of a checkpoint that fairseq-train, `speechllm average` or `speechllm import` wrote.

    Raises:
        FileNotFoundError, ValueError: the file is missing, unreadable or of another model.
    """
    return parse(checkpoint_file.load(path), path)


def parse(checkpoint: dict, path: str | Path) -> SavedModel:
    """The model of a checkpoint that was read from a file; `path` names it in errors."""
    if checkpoint.get("args") is not None:
        raise ValueError(f"{path}: was made by other code (it has args): if that is the study's, convert it with `speechllm import`")
    cfg = checkpoint.get("cfg") or {}
    flags = cfg.get("model") or {}
    flags = flags if isinstance(flags, dict) else vars(flags)
    arch = flags.get("_name") or flags.get("arch")
    known_architectures = architectures()
    if arch not in known_architectures:
        expected = " or ".join(known_architectures)
        raise ValueError(f"{path}: must be a checkpoint of {expected}, but is of {arch or 'no architecture that it names'}")
    config_type = known_architectures[arch].config
    known = {field.name: flags[field.name] for field in fields(config_type) if field.name in flags}  # what is younger than it has its default
    state = checkpoint.get("task_state") or {}
    return SavedModel(arch, config_type(**known), tensors(checkpoint, path), cfg.get("task") or {}, state.get("vocabularies", {}))


def tensors(checkpoint: dict, path: str | Path) -> dict[str, Tensor]:
    """The weights, which are tensors by name."""
    for name, weight in checkpoint["model"].items():
        if not torch.is_tensor(weight):
            raise ValueError(f"{path}: the model must consist of tensors, but {name} is a {type(weight).__name__}")
    return checkpoint["model"]


def differences(theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> list[str]:
    """The differences between the tensors of a file and those of the present model: counts and the first names; nothing if they agree."""
    kinds = {
        "only there": [f"{name} {shape(theirs[name])}" for name in theirs if name not in ours],
        "only here": [f"{name} {shape(ours[name])}" for name in ours if name not in theirs],
        "of another shape": [
            f"{name} {shape(theirs[name])} there, {shape(ours[name])} here"
            for name in theirs
            if name in ours and theirs[name].shape != ours[name].shape
        ],
    }
    return [f"tensors {kind}: {len(found)} (first: {found[0]})" for kind, found in kinds.items() if found]


def shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"
