"""A data folder for fairseq-train, made of another one: the same features and vocabularies, one manifest replaced."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from speechllm_plugin.data import manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.remembered_options import FolderRecord

MODE_KEYS = ("sample_kd_texts",)  # what a mode may set in a data configuration


def check(data, out, split: str, options: dict) -> None:
    """Check that the folder may be written.

    Args:
        options: values of command-line flags, by flag: what decides about the folder.

    Raises:
        ValueError: `out` is the data folder itself, or was made with other options or by another command.
    """
    if Path(out).resolve() == Path(data).resolve():
        raise ValueError(f"--out must be another folder than --data, but both are {out}")
    record = FolderRecord(out, "distill")
    remembered = record.read()
    if remembered is None:
        record.check_not_foreign([Path(out) / f"{split}.tsv"])
    else:
        record.check_options(remembered, options)


def write(config: DataConfig, out, split: str, rows: Sequence[manifest.Utterance], settings: dict, options: dict) -> Path:
    """Write the folder, or write it again; the manifest of the split appears last, so that a folder which has it is complete.

    Args:
        config: of the data folder.
        rows: the new manifest of the split. Those of the other splits are copied.
        settings: keys that the data configuration gets.
        options: as for `check`.

    Returns:
        The new manifest.
    """
    data, out = config.path.parent, Path(out)
    values = {key: value for key, value in config.values.items() if key not in MODE_KEYS}
    names = [config.vocab_filename] + ([config.transcript_vocab_filename] if config.transcript_vocab_filename else [])
    for key in ("pre_tokenizer", "bpe_tokenizer", "transcript_bpe_tokenizer"):
        if values.get(key):
            files = {name: value for name, value in values[key].items() if isinstance(value, str) and _is_beside(data, value)}
            names += files.values()
            values[key] = values[key] | {name: _located(data, value) for name, value in files.items()}
    for key in ("vocab_filename", "transcript_vocab_filename"):
        if values.get(key):
            values[key] = _located(data, values[key])
    values |= {"audio_root": config.audio_root.resolve().as_posix(), **settings}
    if "relative_audio_root" in values:
        values["relative_audio_root"] = Path(os.path.relpath(config.audio_root, out)).as_posix()
    (out / f"{split}.tsv").unlink(missing_ok=True)
    FolderRecord(out, "distill").write(options)
    for name in dict.fromkeys(names):
        if Path(name).name == name:
            _copy(data / name, out / name)
    with replacing(out / config.path.name) as part:
        part.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    for path in sorted(data.glob("*.tsv")):
        if path.name != f"{split}.tsv" and _is_manifest(path):
            _copy(path, out / path.name)
    manifest.write(out / f"{split}.tsv", rows)
    return out / f"{split}.tsv"


def _is_beside(data, name):
    """fairseq's rule: what exists from the working directory on is meant as it is."""
    return not os.path.exists(name) and (data / name).exists()


def _located(data, name):
    """A file of the data folder keeps its name, as it is copied; one in another folder gets its whole path."""
    return name if Path(name).name == name else (data / name).resolve().as_posix()


def _copy(source, target):
    with replacing(target) as part:
        shutil.copyfile(source, part)


def _is_manifest(path):
    with open(path, encoding="utf-8") as lines:
        return set(manifest.MANDATORY_COLUMNS) <= set(lines.readline().rstrip("\n").split("\t"))
