"""Models from flags and sizes alone, without a task and its data; and which architectures there are."""

from typing import NamedTuple

import torch
from fairseq.data import Dictionary
from fairseq.models import MODEL_DATACLASS_REGISTRY, MODEL_REGISTRY

from speechllm_plugin.models.config import SpeechToTextConfig
from speechllm_plugin.models.speech_to_text import Sizes, SpeechToTextModel


class Architecture(NamedTuple):
    """A choice of --arch: the model and the dataclass of its flags."""

    model: type[SpeechToTextModel]
    config: type[SpeechToTextConfig]


def architectures() -> dict[str, Architecture]:
    """The architectures by their --arch: all that are registered now, those of other packages too."""
    models = {name: model for name, model in MODEL_REGISTRY.items() if issubclass(model, SpeechToTextModel)}
    return {name: Architecture(model, MODEL_DATACLASS_REGISTRY[name]) for name, model in models.items()}


def build(arch: str, cfg: SpeechToTextConfig, sizes: Sizes, num_target_types: int, device: str | torch.device = "cpu") -> SpeechToTextModel:
    """The model with the weights that training would start from, and a target dictionary of made-up types.

    Args:
        arch: fairseq-train's --arch.
        num_target_types: of the target vocabulary, special symbols included.
        device: `meta` makes a model without weights, shapes only.

    Raises:
        ValueError: the flags contradict each other.
    """
    with torch.device(device):
        return architectures()[arch].model.build(cfg, made_up_dictionary(num_target_types), sizes)


def made_up_dictionary(num_types: int) -> Dictionary:
    """A fairseq Dictionary of so many types, special symbols included."""
    dictionary = Dictionary()
    for number in range(dictionary.nspecial, num_types):
        dictionary.add_symbol(f"type{number}")
    return dictionary
