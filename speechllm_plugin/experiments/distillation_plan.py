"""Distillation in an experiment: whose translations a student learns from as well, and how (`--kd`, `--kd-mode`)."""

import re
from dataclasses import dataclass
from pathlib import Path

from speechllm_plugin.experiments.stage_script import StageScript, visible_gpus
from speechllm_plugin.experiments.task_data import TASK_METRICS

KD_MODES = ("append", "replace", "kbest", "interpolate", "sequence_kd")
NLLB = "facebook/nllb-200-3.3B"  # the paper's teacher


@dataclass(frozen=True)
class Distillation:
    """A teacher, and what becomes of its translations.

    teacher: own (a text model, trained first), nllb, nllb:MODEL or a file of translations.
    mode: one of KD_MODES.
    """

    teacher: str
    mode: str

    def __post_init__(self) -> None:
        if self.mode not in KD_MODES:
            raise ValueError(f"--kd-mode must be {', '.join(KD_MODES[:-1])} or {KD_MODES[-1]}, but is {self.mode}")
        if not (re.fullmatch("own|nllb|nllb:.+", self.teacher) or Path(self.teacher).is_file()):
            raise ValueError(f"--kd must be own, nllb, nllb:MODEL or a file of translations, but is {self.teacher}")

    @property
    def translations_per_text(self) -> int:
        return 5 if self.mode in ("kbest", "interpolate") else 1

    @property
    def pretrained_model(self) -> str | None:
        """Name or folder of a model for `speechllm translate`."""
        return NLLB if self.teacher == "nllb" else self.teacher.removeprefix("nllb:") if self.teacher.startswith("nllb:") else None

    @property
    def name(self) -> str:
        """What the folders of the distilled data and of its students end with."""
        teacher = Path(self.pretrained_model).name if self.pretrained_model else Path(self.teacher).stem
        return f"kd-{teacher}-{self.mode}"

    @property
    def training_args(self) -> list[str]:
        return ["--criterion", "sequence_kd", "--kd-weight", "0.5"] if self.mode == "sequence_kd" else []

    def distill(self, script: StageScript, folder: Path, split: str, teacher_args: list[str]) -> Path:
        """The folder of distilled data that the stages added here make from folder/data; an own teacher is scored on the split."""
        data, distilled, translations_per_text = folder / "data", folder / f"data-{self.name}", self.translations_per_text
        if self.teacher == "own":
            teacher = folder / "teacher"
            script.set("TEACHER_ARGS", teacher_args)
            script.call("train_teacher", data, teacher, split, *TASK_METRICS["st"])
            translations: list[str | Path | int] = ["--teacher", teacher / "average.pt", "--beam", 5]
        elif self.pretrained_model:
            texts = folder / "translations" / f"{Path(self.pretrained_model).name}-{translations_per_text}.tsv"
            script.call("translate", data, self.pretrained_model, translations_per_text, visible_gpus().number, texts)
            translations = ["--teacher-output", texts]
        else:
            translations = ["--teacher-output", self.teacher]
        mode = "columns" if self.mode == "sequence_kd" else self.mode
        script.call("distill", data, distilled, mode, translations_per_text, *translations)
        return distilled
