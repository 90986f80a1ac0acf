"""Training files (recipes/training/*.sh): the settings of a corpus and a machine, and what they make of a model file."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from speechllm_plugin.describing.model_flags import read_flags
from speechllm_plugin.files import shell_arrays

KIND_NAMES = {int: "a number", list: "an array", dict: "an array with keys"}
LAYER_FLAGS = ("--encoder-layers", "--ctc-layer", "--decoder-layers")
FAIRSEQS_OWN = "s2t_"  # its architectures read padding off the longest row of a batch, and cannot be recorded as CUDA graphs
# In training, of the paper's rows with a third to spare: 320,000 frames of row 5.1 took 68 GiB under --bf16. Without it tensors are twice as large.
FRAMES_PER_GIB = {True: 3000, False: 1500}
# Deeper models get fewer in proportion: with CUDA graphs 320,000 frames of row 6, of 32 layers, did not fit 139 GiB, 160,000 did.
LAYERS_AT_MOST = 24
USUAL_LAYERS = {"--encoder-layers": 12, "--decoder-layers": 6}  # the flags' defaults


class Gpus(NamedTuple):
    """The GPUs of one training, and the memory of the smallest."""

    number: int
    gib: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrainingFile:
    """The variables of a training file, in lower case.

    average_last: number of checkpoints to average.
    prepare_args: of `speechllm prepare`.
    training_args: of fairseq-train, meant for one GPU.
    gpu_args: more of them where there are GPUs; not for fairseq's own models, which cannot take them.
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
    gpu_args: list[str] = field(default_factory=list)
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

    def machine_args(self, gpus: Gpus, model_args: Sequence[str] = (), own_args: Sequence[str] = ()) -> list[str]:
        """The flags of fairseq-train that depend on the machine: an update has as many frames on all GPUs as on one, in as few batches as fit.

        Args:
            model_args: of the model file.
            own_args: of the user, which win: a flag that is among them is not among these.

        Raises:
            ValueError: --update-freq cannot be divided among the GPUs.
        """
        if not gpus.number:
            return []
        if self.gpu_args and (last_value(model_args, "--arch") or "").startswith(FAIRSEQS_OWN):
            return replace(self, gpu_args=[]).machine_args(gpus, model_args, own_args)
        given = {word.partition("=")[0] for word in own_args if word.startswith("--")}
        flags = [] if "--update-freq" in given else self.batches_on(gpus, given, [*self.training_args, *own_args], num_layers(model_args))
        return flags + [word for words in by_flag(self.gpu_args) if words[0] not in given for word in words]

    def batches_on(self, gpus: Gpus, given: Set[str], all_args: list[str], layers: int) -> list[str]:
        """--update-freq, and --max-tokens where several batches of a model of so many layers fit into a GPU's memory at once."""
        text = last_value(self.training_args, "--update-freq") or "1"
        if gpus.number == 1 and not self.gpu_args:
            return []
        if not text.isdecimal():
            raise ValueError(f"--update-freq {text} cannot be shared among {gpus.number} GPUs: it must be one number")
        if int(text) % gpus.number:
            raise ValueError(
                f"--update-freq {text} cannot be shared among {gpus.number} GPUs: let CUDA_VISIBLE_DEVICES name a number of them that divides it"
            )
        update_freq, max_tokens = int(text) // gpus.number, last_value(self.training_args, "--max-tokens")
        at_once = 1
        if self.gpu_args and max_tokens is not None and not given & {"--max-tokens", "--batch-size"}:
            most = gpus.gib * FRAMES_PER_GIB["--bf16" in all_args] * min(1, LAYERS_AT_MOST / max(1, layers)) / int(max_tokens)
            at_once = max(number for number in range(1, update_freq + 1) if update_freq % number == 0 and number <= max(1, most))
        larger = [] if at_once == 1 else ["--max-tokens", str(int(max_tokens or 0) * at_once)]
        return [*larger, "--update-freq", str(update_freq // at_once)]


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


def num_layers(model_args: Sequence[str]) -> int:
    """Of encoder and decoder together."""
    counts = {flag: int(last_value(model_args, flag) or usual) for flag, usual in USUAL_LAYERS.items()}
    return counts["--decoder-layers"] + (counts["--encoder-layers"] if last_value(model_args, "--encoder") != "none" else 0)


def by_flag(arguments: Sequence[str]) -> list[list[str]]:
    """Each flag with its values; what stands before the first flag, alone."""
    found: list[list[str]] = []
    for word in arguments:
        if word.startswith("--") or not found:
            found.append([word])
        else:
            found[-1].append(word)
    return found


def last_value(arguments: Sequence[str], flag: str) -> str | None:
    """The value that a command takes of its arguments: the last one; None where the flag is not given."""
    return next((arguments[place + 1] for place in range(len(arguments) - 2, -1, -1) if arguments[place] == flag), None)


def _whole(path: Path, name: str, text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{path}: {name} must be a whole number, but is {text}")
    return int(text)


def main(model_file: str, training_file: str) -> None:
    """Print the flags of a model in the sizes of a training file, one word a line."""
    print(*read(Path(training_file)).model_args(Path(model_file)), sep="\n")
