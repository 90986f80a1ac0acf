"""A checkpoint and what it needs of its data folder, as a model folder that needs neither."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from speechllm_plugin.data import features, manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.exporting import model_card, training_speech
from speechllm_plugin.files import checkpoint_file, model_folder
from speechllm_plugin.files.remembered_options import FolderRecord
from speechllm_plugin.models import saved_model
from speechllm_plugin.models.registry import architectures
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask

CONFIG_FILE = "config.yaml"
TOKENIZERS = ("pre_tokenizer", "bpe_tokenizer", "transcript_bpe_tokenizer")
VOCABULARIES = ("vocab_filename", "transcript_vocab_filename")
KEPT_SETTINGS = ("input_channels", "input_feat_per_channel", "prepend_tgt_lang_tag", "tgt_lang")
STARTING_POINTS = ("init_encoder_from", "init_decoder_from")


def export(checkpoint: Path, data: Path, out: Path, dtype: torch.dtype, score_files: Sequence[Path], about: str) -> dict[str, Any]:
    """Write a model folder; returns its settings.

    Args:
        checkpoint: of fairseq-train, `speechllm average` or `speechllm import`.
        data: the data folder that it was trained on.
        dtype: of the stored matrices.
        score_files: of `speechllm score`, of this checkpoint's outputs.
        about: Markdown for the card.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: a file is missing, there is something at `out`, or checkpoint and data do not match.
    """
    state = checkpoint_file.load(checkpoint)
    saved = saved_model.parse(state, checkpoint)
    task = SpeechLLMSpeechToTextTask.of_checkpoint(state, data)
    model = architectures()[saved.arch].model.build_model(saved.cfg, task)
    model.load_state_dict(saved.weights)
    rows = training_rows(data, state["cfg"])
    pause_seconds, sample_bits = training_speech.heard(rows, task.data_config)
    settings = {
        "arch": saved.arch,
        "num_updates": state["optimizer_history"][-1]["num_updates"],
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "dtype": str(dtype).removeprefix("torch."),
        "vocabularies": task.state_dict()["vocabularies"],
        "features": feature_settings(task.data_config),
        "languages": languages(rows, task),
        "trained_on": {"corpus": prepared_from(data), "subsets": state["cfg"]["dataset"]["train_subset"].split(",")},
        "training_speech": {**training_speech.lengths(rows), "pause_seconds": pause_seconds},
        "averaged_checkpoints": state.get("averaged_checkpoints", []),
        "started_from": {name: Path(path).name for name in STARTING_POINTS if (path := getattr(saved.cfg, name))},
        "cfg": without_places(state["cfg"]),
    }
    with model_folder.new_folder(out) as folder:
        settings["same_tensors"] = model_folder.write_weights(folder, model.state_dict(), dtype)
        write_data_config(folder, task.data_config, sample_bits)
        model_folder.write_settings(folder, settings)
        (folder / model_folder.CARD_FILE).write_text(model_card.text(out.name, settings, score_files, about), encoding="utf-8")
    return settings


def prepared_from(data: Path) -> str:
    """The name of the folder that `speechllm prepare` read, with the layout; else the name of the data folder."""
    record = FolderRecord(data, "prepare").read({"options": dict})
    options = {} if record is None else record["options"]
    root, layout = options.get("--root"), options.get("corpus")
    return f"`{Path(root).name}` (`speechllm prepare {layout}`)" if root and layout else f"`{data.resolve().name}`"


def training_rows(data: Path, cfg: Mapping[str, Any]) -> list[Utterance]:
    """The rows that the model was trained on: those that were not too long."""
    subsets = cfg["dataset"]["train_subset"].split(",")
    rows = [row for subset in subsets for row in manifest.read(data / f"{subset}.tsv")]
    longest = min(limit for limit in (cfg["task"]["max_source_positions"], cfg["dataset"]["max_tokens"]) if limit)
    fitting = [row for row in rows if row.n_frames <= longest]
    if not fitting:
        raise ValueError(f"{data / subsets[0]}.tsv: all rows are longer than the {longest} frames that the training allowed: give its data folder")
    return fitting


def feature_settings(config: DataConfig) -> dict[str, Any]:
    """How speech becomes what the model reads."""
    use_cmvn, _ = config.transforms(is_train=False)
    return {**features.SETTINGS, "num_bins": config.input_feat_per_channel, "utterance_cmvn": use_cmvn}


def languages(rows: Sequence[Utterance], task: SpeechLLMSpeechToTextTask) -> dict[str, Any]:
    """What the model does with which languages: `task`, `speech`, `text`, and `tags`, those of `text` that a user chooses from."""
    is_transcript = {row.src_lang == row.tgt_lang for row in rows}
    kinds = ["recognition"] * (True in is_transcript or task.data_config.transcribe_probability > 0) + ["translation"] * (False in is_transcript)
    symbols = task.target_dictionary.symbols
    tags = sorted(symbols[index].removeprefix("<lang:").removesuffix(">") for index in task.target.tags)
    speech, text = ({getattr(row, name) for row in rows} - {""} for name in ("src_lang", "tgt_lang"))
    chosen = tags if task.data_config.prepend_tgt_lang_tag else []
    return {"task": " and ".join(kinds), "speech": sorted(speech), "text": sorted(text | set(chosen)), "tags": chosen}


def without_places(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The flags with the last part of each path, as the rest means nothing elsewhere; the data folder is the model folder itself."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: cleaned(each) for name, each in value.items()}
        return Path(value).name if isinstance(value, str) and os.sep in value else value

    kept = cleaned(cfg)
    kept["task"] |= {"data": ".", "config_yaml": CONFIG_FILE}
    kept["model"] |= dict.fromkeys(STARTING_POINTS)
    return kept


def write_data_config(folder: Path, config: DataConfig, sample_bits: int | None) -> None:
    """Copy the vocabularies, and write what decoding needs of the data configuration."""
    values = {name: config.values[name] for name in KEPT_SETTINGS if name in config.values}
    if sample_bits is not None:
        values["sample_bits"] = sample_bits
    use_cmvn, _ = config.transforms(is_train=False)
    values["transforms"] = {"*": ["utterance_cmvn"] if use_cmvn else []}
    for key in VOCABULARIES:
        if getattr(config, key) is not None:
            values[key] = copied(config.path.parent / getattr(config, key), folder)
    for key in TOKENIZERS:
        if getattr(config, key) is not None:
            values[key] = {
                name: copied(Path(value), folder) if isinstance(value, str) and Path(value).is_file() else value
                for name, value in getattr(config, key).items()
            }
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def copied(source: Path, folder: Path) -> str:
    """The name of a file that was copied to the folder."""
    target = folder / source.name
    if target.exists() and target.read_bytes() != source.read_bytes():
        raise ValueError(f"{source}: another file of the data has the same name; rename one of them in the data folder and its configuration")
    shutil.copyfile(source, target)
    return source.name
