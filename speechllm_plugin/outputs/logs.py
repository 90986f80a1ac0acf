"""What the logs of fairseq-train and fairseq-generate say: curves, sizes, speeds, memory."""

import json
import re
import statistics
from pathlib import Path
from typing import Any, NamedTuple

QUANTITIES = {"loss": "Loss", "nll_loss": "NLL", "ctc_loss": "CTC loss"}
TRAIN = "train"

_JSON_LINE = re.compile(r'\| ([\w.-]+) \| (\{".*\})\s*$', re.MULTILINE)  # fairseq also logs its settings, in Python's notation
_COUNT, _DECIMAL = r"([0-9][0-9,]{0,17})", r"([0-9][0-9,]{0,17}(?:\.[0-9]{1,9})?)"
_PARAMETERS = re.compile(rf"num\. shared model params: {_COUNT}")
_TRANSLATED = re.compile(rf"Translated {_COUNT} sentences \({_COUNT} tokens\) in {_DECIMAL} ?s \({_DECIMAL} sentences/s, {_DECIMAL} tokens/s\)")
_PEAK_MEMORY = re.compile(rf"peak memory: process {_COUNT} MiB(?:, GPU {_COUNT} MiB)?")
# The commands of the recipes are logged unquoted; what follows the folder is always an option.
_COMMAND = "$ fairseq-generate "
_DATA_FOLDER = re.compile(rf"^{re.escape(_COMMAND)}(.+?) --", re.MULTILINE | re.DOTALL)
_SPEED, _NO_UPDATE = "frames_per_second", -1
_WALL = "train_wall"  # seconds since the training began
_STEPS = "train_inner"  # what fairseq calls its lines between the ends of epochs
_AVERAGED = re.compile(r": average of (checkpoint\S*\.pt(?:, checkpoint\S*\.pt)*)$", re.MULTILINE)
_TOTAL_MEMORY = re.compile(rf"total memory = {_DECIMAL} GB")
VALIDATION = "dev"  # the validation set of the recipes
_VALIDATED = re.compile(rf'"{VALIDATION}_(\w+)": "([^"]*)')


# What a line raises that two processes wrote at a time, or one that was killed.
DAMAGED = (ValueError, TypeError, OverflowError, RecursionError)


class Curve(NamedTuple):
    """One quantity of one subset: updates, ascending, and values (in base 2, as fairseq logs them)."""

    updates: list[int]
    values: list[float]


class TrainingLog(NamedTuple):
    """curves: (subset, quantity) -> Curve, subset `train` or the name of a validation set; None where the log does not say.

    num_damaged: lines left out, as of two processes that wrote at a time or of one that was killed.
    num_updates: when the last epoch ended, whole or not.
    seconds:     then, by the clock of the training, validations and checkpoints included.
    gpu_mebibytes: the most that the last run that came to its end had allocated; None without a GPU, too.
    """

    curves: dict[tuple[str, str], Curve]
    num_parameters: int | None
    frames_per_second: float | None  # the median over the epochs, of 10 ms frames
    num_damaged: int = 0
    num_updates: int | None = None
    seconds: float | None = None
    gpu_mebibytes: int | None = None

    @property
    def validation_subset(self) -> str | None:
        return next((subset for subset, _ in self.curves if subset != TRAIN), None)


class DecodingLog(NamedTuple):
    """The last decoding; None where the log does not say, as of one that was interrupted."""

    data: Path | None  # the folder that was decoded
    num_sentences: int | None
    num_tokens: int | None
    sentences_per_second: float | None
    tokens_per_second: float | None
    process_mebibytes: int | None
    gpu_mebibytes: int | None

    @property
    def seconds(self) -> float | None:
        """From the speed, as fairseq rounds seconds to tenths."""
        return self.num_sentences / self.sentences_per_second if self.num_sentences and self.sentences_per_second else None


class Throughput(NamedTuple):
    """Speed and memory of a training.

    frames_per_second: the median over the second half of its lines.
    gpu_gibibytes: the most that was in use; None without a GPU.
    """

    frames_per_second: float
    gpu_gibibytes: float | None


def read_training(path: Path | str) -> TrainingLog | None:
    """The TrainingLog of a file with fairseq's JSON lines (--log-format json); None where there is no file.

    Where a training was resumed or begun anew, what it had logged from the update on where it goes on does not count.
    """
    text = _text(path)
    if text is None:
        return None
    points: dict[tuple[str, str], dict[int, float]] = {}
    num_damaged = 0
    end: tuple[int | None, float | None] = None, None
    for name, line in _JSON_LINE.findall(text):
        if name == _STEPS:
            continue
        try:
            values = json.loads(line)
            found = {each: float(values[f"{name}_{each}"]) for each in (*QUANTITIES, _SPEED) if f"{name}_{each}" in values}
            update = int(values.get(f"{name}_num_updates", _NO_UPDATE))
            seconds = float(values[_WALL]) if name == TRAIN and _WALL in values else None
        except DAMAGED:
            num_damaged += 1
            continue
        if name == TRAIN and update != _NO_UPDATE:
            end = update, seconds
        for quantity, value in found.items() if update != _NO_UPDATE else ():
            before = points.get((name, quantity), {})
            points[name, quantity] = {earlier: before[earlier] for earlier in before if earlier < update} | {update: value}
    speeds = points.pop((TRAIN, _SPEED), {}).values()
    curves = {key: Curve(list(values), list(values.values())) for key, values in points.items() if key[1] in QUANTITIES}
    _, gpu = _last(_PEAK_MEMORY, text) or (None, None)
    return TrainingLog(curves, _whole(_last(_PARAMETERS, text)), statistics.median(speeds) if speeds else None, num_damaged, *end, _whole(gpu))


def read_averaged(path: Path | str) -> list[str]:
    """The names of the checkpoints that `speechllm average` said it has averaged, of its last run; none where there is no file."""
    averaged = _last(_AVERAGED, _text(path) or "")
    return averaged.split(", ") if averaged else []


def read_decoding(path: Path | str) -> DecodingLog | None:
    """The DecodingLog of a file, of the last command in it; None where there is no file."""
    text = _text(path)
    if text is None:
        return None
    text = text[max(text.rfind(_COMMAND), 0) :]
    data, translated, memory = (_last(pattern, text) for pattern in (_DATA_FOLDER, _TRANSLATED, _PEAK_MEMORY))
    sentences, tokens, _, sentence_speed, token_speed = translated or (None,) * 5
    process, gpu = memory or (None,) * 2
    return DecodingLog(
        Path(data) if data else None,
        _whole(sentences),
        _whole(tokens),
        _number(sentence_speed),
        _number(token_speed),
        _whole(process),
        _whole(gpu),
    )


def read_throughput(path: Path | str) -> Throughput:
    """The Throughput of a training, whose first lines are warming up.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no line between the ends of epochs.
    """
    text = _text(path)
    if text is None:
        raise FileNotFoundError(f"{path}: no such log")
    total = _TOTAL_MEMORY.search(text)
    speeds, free_gibibytes = [], []
    for line in (line for name, line in _JSON_LINE.findall(text) if name == _STEPS):
        try:
            step = json.loads(line)
            speeds.append(float(step[_SPEED]))
            free_gibibytes.append(float(step["gb_free"]) if total else 0.0)
        except (KeyError, *DAMAGED):
            continue
    if not speeds:
        raise ValueError(f"{path}: no update was logged; train longer, or with a smaller --log-interval")
    gibibytes = float(total[1].replace(",", "")) - min(free_gibibytes) if total and free_gibibytes else None
    return Throughput(statistics.median(speeds[len(speeds) // 2 :]), gibibytes)


def validation(line: str) -> dict[str, str]:
    """What a line of fairseq-train says of a validation, by quantity; nothing for any other line, or where it is damaged."""
    return dict(_VALIDATED.findall(line)) if f'"{VALIDATION}_num_updates"' in line else {}


def _text(path: Path | str) -> str | None:
    # Only ASCII lines are looked for; what else a program printed need not be UTF-8.
    path = Path(path)
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _last(pattern: re.Pattern[str], text: str) -> Any:
    matches = pattern.findall(text)
    return matches[-1] if matches else None


def _whole(text: str | None) -> int | None:
    return int(text.replace(",", "")) if text else None


def _number(text: str | None) -> float | None:
    return float(text.replace(",", "")) if text else None
