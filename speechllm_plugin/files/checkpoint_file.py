"""Checkpoints as files: read as data, so that nothing that a file holds is ever run, and written whole or not at all."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from speechllm_plugin.files import model_folder
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.host import archive_checksums, safe_loading


def load(path: str | Path, *, whole: bool = True) -> dict[str, Any]:
    """A checkpoint's dictionary on the CPU, also that of a model folder; tensors stay on disk until they are used.

    Args:
        whole: compare all of the file with its checksums, which takes too long where only its numbers are asked for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, not from fairseq, or holds objects that the safe loader refuses.
    """
    if model_folder.is_model_folder(path):
        return model_folder.read_checkpoint(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    safe_loading.allow_namespaces()
    if whole:
        archive_checksums.check(path)
    with open(path, "rb") as file:
        zipped = zipfile.is_zipfile(file)  # torch maps only these into memory
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        raise ValueError(f"{path}: {safe_loading.refusal(error)}") from error
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        raise ValueError(f"{path}: a fairseq checkpoint has an entry 'model', but this file has none")
    return state


def save(state: Mapping[str, Any], path: str | Path) -> None:
    """Write a checkpoint.

    Raises:
        OSError: it cannot be written; its `filename` is `path`.
    """
    with replacing(path) as part, open(part, "wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # of torch's archive, which then cannot be closed
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
