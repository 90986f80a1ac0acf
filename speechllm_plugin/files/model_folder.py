"""A model as one folder: weights, settings, vocabularies and a card. Nothing in it is code, and reading it runs none.

README.md          the card, for people; the only file that may be changed
model.safetensors  the weights
model.json         `cfg`, the flags of the training by section; `vocabularies`, their digests; `num_updates`; `same_tensors`, names of
                   tensors that are stored under another name; and what `speechllm export` knows of features, speech and languages
config.yaml        the data configuration, with the names of the vocabulary files beside it
checksums.sha256   of all files but the card, as `sha256sum -c` reads them
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from speechllm_plugin.files import json_file
from speechllm_plugin.files.digests import file_digest

CARD_FILE, WEIGHTS_FILE, SETTINGS_FILE, CHECKSUM_FILE = "README.md", "model.safetensors", "model.json", "checksums.sha256"
FORMAT_VERSION = 1
REMEDY = "export the model again"
# What is read of the settings: keys, and the types of their values.
NEEDED: dict[str, type | tuple[type, ...]] = {
    "cfg": dict,
    "vocabularies": dict,
    "same_tensors": dict,
    "num_updates": int,
    "features": dict,
    "languages": dict,
    "training_speech": dict,
}
NEEDED_WITHIN: dict[str, dict[str, type | tuple[type, ...]]] = {
    "languages": {"speech": list, "text": list, "tags": list},
    "training_speech": {"window_seconds": (int, float), "longest_seconds": (int, float)},
}


def is_model_folder(path: str | Path) -> bool:
    """Whether a checkpoint that a user names is a model folder, or the weights in one."""
    return Path(path).is_dir() or Path(path).name == WEIGHTS_FILE


def located(path: str | Path) -> Path:
    """The folder itself, also of the path of its weights."""
    return Path(path).parent if Path(path).name == WEIGHTS_FILE else Path(path)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path` that becomes `path`, with its checksums, when the block ends well; else it vanishes.

    Raises:
        FileExistsError: there is something at `path` already.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path}: is there already; give another folder, or remove it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror}); give another folder") from error
    try:
        yield temporary
        lines = [f"{file_digest(file)}  {file.name}\n" for file in sorted(temporary.iterdir()) if file.name != CARD_FILE]
        (temporary / CHECKSUM_FILE).write_text("".join(lines), encoding="utf-8")
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_weights(folder: Path, weights: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, str]:
    """Write the weights, matrices as `dtype`; vectors (biases, norms, statistics) keep the type that they have, since they are small.

    Returns:
        The names of tensors that are not stored, as they share the memory of another one, with the name of that one.
    """
    stored: dict[str, Tensor] = {}
    name_at: dict[tuple[int, torch.Size], str] = {}
    same_tensors = {}
    for name, tensor in weights.items():
        first = name_at.setdefault((tensor.data_ptr(), tensor.shape), name)
        if first == name:
            stored[name] = tensor.to(dtype).contiguous() if tensor.dim() > 1 and tensor.is_floating_point() else tensor.clone()
        else:
            same_tensors[name] = first
    (folder / WEIGHTS_FILE).write_bytes(safetensors.torch.save(stored))  # save_file would make it unreadable to others
    return same_tensors


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    text = json.dumps({"format": FORMAT_VERSION, **settings}, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")


def check(folder: Path) -> None:
    """Raise ValueError or FileNotFoundError unless the folder has exactly the files that were exported, unchanged."""
    if not (folder / CHECKSUM_FILE).is_file():
        raise FileNotFoundError(f"{folder}: no model folder, as it has no {CHECKSUM_FILE}; make one with speechllm export")
    named = {CARD_FILE, CHECKSUM_FILE}
    for line in (folder / CHECKSUM_FILE).read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if len(digest) != 64 or Path(name).name != name:
            raise ValueError(f"{folder / CHECKSUM_FILE}: must have lines `digest  name`, but has {line!r}; export the model again")
        if not path.is_file():
            raise FileNotFoundError(f"{path}: this file of the model is missing; copy the whole folder again")
        if file_digest(path) != digest:
            raise ValueError(f"{path}: is damaged or of another model, as {CHECKSUM_FILE} has another checksum; copy the whole folder again")
        named.add(name)
    for needed in (SETTINGS_FILE, WEIGHTS_FILE):
        if needed not in named:
            raise ValueError(f"{folder / CHECKSUM_FILE}: does not name {needed}; export the model again")
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in named and not path.name.startswith("."))
    if foreign:
        raise ValueError(f"{folder / foreign[0]}: does not belong to the model ({CHECKSUM_FILE} does not name it); move it out of the folder")


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings of a model whose files were checked.

    Raises:
        FileNotFoundError, ValueError: a file is missing, damaged or foreign, or of a later version of this package.
    """
    folder = located(path)
    check(folder)
    place = folder / SETTINGS_FILE
    settings = json_file.read_object(place, {"format": int}, remedy=REMEDY)
    if settings["format"] != FORMAT_VERSION:
        raise ValueError(f"{place}: must have format {FORMAT_VERSION}, but has {settings['format']}; use the version that exported it")
    json_file.check_object(place, settings, NEEDED, remedy=REMEDY)
    for name, needed in NEEDED_WITHIN.items():
        json_file.check_object(f"{place}: {name}", settings[name], needed, remedy=REMEDY)
    return settings


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The dictionary of fairseq's checkpoint that the model of a folder stands for, without the state of an optimizer.

    Raises:
        FileNotFoundError, ValueError: as of read_settings.
    """
    folder, settings = located(path), read_settings(path)
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS_FILE)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS_FILE}: not readable as safetensors ({error}); export the model again") from error
    weights |= {name: weights[same] for name, same in settings["same_tensors"].items()}
    history = {"criterion_name": "", "optimizer_name": "none", "lr_scheduler_state": {"best": None}, "num_updates": settings["num_updates"]}
    return {
        "args": None,
        "cfg": settings["cfg"],
        "model": weights,
        "criterion": None,
        "optimizer_history": [history],
        "task_state": {"vocabularies": settings["vocabularies"]},
        "extra_state": {"train_iterator": {"version": 2, "epoch": 1, "iterations_in_epoch": 0, "shuffle": True}},
    }
