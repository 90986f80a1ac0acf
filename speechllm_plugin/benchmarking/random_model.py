"""Models of model files with random weights, whose CTC head labels the speech as a trained one would."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from speechllm_plugin.describing import model_file, model_flags
from speechllm_plugin.describing.setting import Setting, depends_on_data
from speechllm_plugin.models.config import SpeechToTextConfig
from speechllm_plugin.models.speech_to_text import SpeechToTextModel

LABEL_LOGIT = 1e4  # far above those of any weights, and a number in 16 bits
MAX_TARGET_POSITIONS = 1024  # as --max-target-positions


@dataclass(frozen=True)
class RandomModel:
    """A model that can be built with the same random weights in every run.

    flags: those of the model file, with those appended.
    """

    path: Path
    flags: list[str]
    arch: str
    cfg: SpeechToTextConfig
    setting: Setting

    @classmethod
    def read(cls, path: Path, more_flags: list[str], setting: Setting) -> "RandomModel":
        """The model of a model file, with flags appended.

        A compression rate of the setting is for the models whose compression depends on the data; the others ignore it.

        Raises:
            FileNotFoundError, ValueError: see describing.model_flags, describing.model_file and Setting.check; the file is named.
        """
        flags = model_flags.read_flags(path) + more_flags
        try:
            arch, cfg = model_file.parse(flags)
            own_setting = replace(setting, compression_rate=setting.compression_rate if depends_on_data(cfg) else None)
            own_setting.check(cfg)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return cls(path, flags, arch, cfg, own_setting)

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def compression_rate(self) -> float | None:
        """Speech states before / after compression; None without it."""
        return self.setting.rate(self.cfg) if self.cfg.ctc_compression != "none" else None

    def build(self, device: torch.device, dtype: torch.dtype) -> SpeechToTextModel:
        """The model in eval mode. Compression that depends on the data finds as many states to a label as the setting says."""
        torch.manual_seed(1)
        model = self.setting.build(self.arch, self.cfg, MAX_TARGET_POSITIONS).eval().to(device, dtype)
        imitate_compression(model, self.setting)
        return model


def imitate_compression(model: SpeechToTextModel, setting: Setting) -> None:
    """Let compression that depends on the data find as many states to a label as the setting says; random weights would find any number."""
    if depends_on_data(model.encoder.cfg):
        rate = setting.rate(model.encoder.cfg)
        model.encoder.ctc_head.register_forward_hook(lambda head, inputs, logits: label_runs(logits, rate))


def label_runs(logits: torch.Tensor, rate: float) -> torch.Tensor:
    """(B, S, V + 1) CTC logits whose best label, never the blank, changes every `rate` states."""
    position = torch.arange(logits.size(1), device=logits.device)
    label = (position / rate).long() % (logits.size(2) - 1)
    return logits.scatter_(2, label[:, None].expand(logits.size(0), -1, 1), LABEL_LOGIT)
