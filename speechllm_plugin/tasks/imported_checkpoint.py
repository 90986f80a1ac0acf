"""A checkpoint of the study's code as fairseq-train would have written it with this package."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairseq.dataclass.configs import FairseqConfig
from omegaconf import OmegaConf
from torch import nn

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropyConfig
from speechllm_plugin.files import checkpoint_file
from speechllm_plugin.models import reference
from speechllm_plugin.models.registry import architectures
from speechllm_plugin.models.saved_model import SavedModel
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig


@dataclass(frozen=True)
class ImportedCheckpoint:
    """A checkpoint of the study's code, converted.

    state: fairseq's checkpoint, to be saved.
    saved: architecture, configuration and weights in it.
    model: built from them.
    args: the flags of the study's code that it was trained with.
    """

    state: dict[str, Any]
    saved: SavedModel
    model: nn.Module
    args: Mapping[str, Any]


def import_checkpoint(path: str | Path, data: str | None = None) -> ImportedCheckpoint:
    """Convert a checkpoint of the study's code; nothing that it holds is run.

    Args:
        data: data folder whose vocabularies the checkpoint names.

    Raises:
        ValueError: it is no such checkpoint, or the vocabularies have other sizes than its weights.
    """
    checkpoint = checkpoint_file.load(path)
    saved = reference.convert(checkpoint, path)
    model = reference.build(saved, path)
    task = SpeechToTextTaskConfig(**saved.task)
    task_state = {}
    if data is not None:
        task.data = data
        task_state = state_of(SpeechLLMSpeechToTextTask(task), saved)
    args = vars(checkpoint["args"])
    state = {
        "args": None,
        "cfg": configuration(saved, task, args),
        "model": model.state_dict(),
        "criterion": None,
        "optimizer_history": [history(checkpoint)],
        "task_state": task_state,
        "extra_state": {"train_iterator": {"version": 2, "epoch": 1, "iterations_in_epoch": 0, "shuffle": True}},
    }
    return ImportedCheckpoint(state, saved, model, args)


def state_of(task: SpeechLLMSpeechToTextTask, saved: SavedModel) -> dict[str, dict[str, str]]:
    """The task's digests of the vocabularies that the model uses, whose sizes must be those of its weights."""
    architectures()[saved.arch].model.build_model(saved.cfg, task).load_state_dict(saved.weights)
    used = ["target", "transcript"] if saved.cfg.ctc_layer else ["target"]
    return {part: {name: digests[name] for name in used} for part, digests in task.state_dict().items()}


def configuration(saved: SavedModel, task: SpeechToTextTaskConfig, args: Mapping[str, Any]) -> dict[str, Any]:
    """The whole configuration in fairseq's form, its parts for training at their defaults."""
    criterion = CTCCrossEntropyConfig()
    for name in ("label_smoothing", "ctc_weight"):
        setattr(criterion, name, args.get(name, getattr(criterion, name)))
    saved.cfg._name, task._name, criterion._name = saved.arch, "speechllm_speech_to_text", "ctc_cross_entropy"
    whole = OmegaConf.structured(FairseqConfig(model=saved.cfg, task=task, criterion=criterion))
    plain = OmegaConf.to_container(whole, resolve=True, enum_to_str=True)
    assert isinstance(plain, dict)
    return plain


def history(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """fairseq's record of the optimizer, which is not taken over; the number of updates is."""
    updates = max((entry.get("num_updates", 0) for entry in checkpoint.get("optimizer_history") or []), default=0)
    return {"criterion_name": "CTCCrossEntropy", "optimizer_name": "none", "lr_scheduler_state": {"best": None}, "num_updates": updates}
