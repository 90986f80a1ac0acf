"""A checkpoint as fairseq-generate decodes with it: the model in eval mode and its task over a data folder."""

from typing import NamedTuple

from fairseq import checkpoint_utils

from speechllm_plugin.host.devices import existing_device
from speechllm_plugin.models import saved_model
from speechllm_plugin.models.speech_to_text import SpeechToTextModel
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask


class TrainedModel(NamedTuple):
    """A model in eval mode, its task, and fairseq-train's --arch."""

    model: SpeechToTextModel
    task: SpeechLLMSpeechToTextTask
    arch: str


def load(checkpoint, data, device="cpu") -> TrainedModel:
    """Load a checkpoint of fairseq-train, `speechllm average` or `speechllm import`, in float32.

    Args:
        data: folder with the vocabularies that it was trained with, and the manifests to read.
        device: cpu, cuda or cuda:N.

    Raises:
        FileNotFoundError: there is no such checkpoint, or something is missing in the folder.
        ValueError: it is of another model, task or vocabulary, cannot be read safely, or there is no such device.
    """
    device = existing_device(device)
    arch = saved_model.read(checkpoint).arch  # says best what is no checkpoint of ours
    [model], _, task = checkpoint_utils.load_model_ensemble_and_task([str(checkpoint)], arg_overrides={"data": str(data)})
    return TrainedModel(model.float().to(device).eval(), task, arch)


def load_rows(task: SpeechLLMSpeechToTextTask, split: str):
    """The data set of a split, in the manifest's row order and without augmentation."""
    if split not in task.datasets:
        task.load_dataset(split)
    return task.datasets[split]
