"""Training files (recipes/training/*.sh): the settings of a corpus and a machine, and what they make of a model file."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin

from speechllm_plugin.describing.model_flags import read_flags
from speechllm_plugin.files import shell_arrays

KIND_NAMES = {int: "a number", list: "an array", dict: "an array with keys"}
LAYER_FLAGS = ("--encoder-layers", "--ctc-layer", "--decoder-layers")


@dataclass(frozen=True, kw_only=True)
class TrainingFile:
    """The variables of a training file, in lower case.

    average_last: number of checkpoints to average.
    prepare_args: of `speechllm prepare`.
    training_args: of fairseq-train, meant for one GPU.
    generation_args: of fairseq-generate.
    teacher_args: of fairseq-train, for the text translation model of --kd own.
    silence_args: of `speechllm silence`.
    size_args: flags that come after those of every model file.
    layers_divided_by: numbers of layers in model files are divided by it and rounded up.
    vocab_size: pieces of the vocabularies of a study, by task and for `transcript`; those that are not there are the corpus's.
    """

    average_last: int
    prepare_args: list[str] = field(default_factory=list)
    training_args: list[str] = field(default_factory=list)
    generation_args: list[str] = field(default_factory=list)
    teacher_args: list[str] = field(default_factory=list)
    silence_args: list[str] = field(default_factory=list)
    size_args: list[str] = field(default_factory=list)
    layers_divided_by: int = 1
    vocab_size: dict[str, str] = field(default_factory=dict)

    def model_args(self, model_file: Path) -> list[str]:
        """The flags of a model file, in the sizes of this training file."""
        flags = read_flags(model_file)
        for place, flag in enumerate(flags[:-1]):
            if flag in LAYER_FLAGS:
                flags[place + 1] = str(-(-_whole(model_file, flag, flags[place + 1]) // self.layers_divided_by))
        return flags + self.size_args

    def training_args_on(self, num_gpus: int) -> list[str]:
        """The flags of fairseq-train with as many frames an update on several GPUs as on one.

        Raises:
            ValueError: --update-freq cannot be divided among them.
        """
        if num_gpus <= 1:
            return self.training_args
        text = last_value(self.training_args, "--update-freq") or "1"
        if not text.isdecimal():
            raise ValueError(f"--update-freq {text} cannot be shared among {num_gpus} GPUs: it must be one number")
        update_freq = int(text)
        if update_freq % num_gpus:
            raise ValueError(
                f"--update-freq {update_freq} cannot be shared among {num_gpus} GPUs: let CUDA_VISIBLE_DEVICES name a number of them that divides it"
            )
        return [*self.training_args, "--update-freq", str(update_freq // num_gpus)]


SETTING_KINDS: dict[str, type] = {each.name.upper(): get_origin(each.type) or int for each in fields(TrainingFile)}  # int, list or dict


def read(path: Path) -> TrainingFile:
    """The settings of a training file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read as data (see shell_arrays), sets something that is no setting, or no AVERAGE_LAST.
    """
    values: dict[str, Any] = {}
    for name, value in shell_arrays.read(path).items():
        if name not in SETTING_KINDS:
            raise ValueError(f"{path}: sets {name}, which is none of {' '.join(SETTING_KINDS)}")
        kind = SETTING_KINDS[name]
        if kind is int and isinstance(value, str):
            values[name.lower()] = _whole(path, name, value)
        elif kind is not int and (isinstance(value, kind) or value == []):
            values[name.lower()] = value or kind()
        else:
            raise ValueError(f"{path}: {name} must be {KIND_NAMES[kind]}, but is {value!r}")
    if "average_last" not in values:
        raise ValueError(f"{path}: sets no AVERAGE_LAST, the number of checkpoints to average; add a line like AVERAGE_LAST=5")
    return TrainingFile(**values)


def last_value(arguments: list[str], flag: str) -> str | None:
    """The value that a command takes of its arguments: the last one; None where the flag is not given."""
    return next((arguments[place + 1] for place in range(len(arguments) - 2, -1, -1) if arguments[place] == flag), None)


def _whole(path: Path, name: str, text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{path}: {name} must be a whole number, but is {text}")
    return int(text)


def main(model_file: str, training_file: str) -> None:
    """Print the flags of a model in the sizes of a training file, one word a line."""
    print(*read(Path(training_file)).model_args(Path(model_file)), sep="\n")
