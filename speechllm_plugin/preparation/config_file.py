"""The data configuration of a prepared folder, config.yaml: this package and fairseq read it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from speechllm_plugin.data.features import NUM_BINS
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.preparation.prepared_folder import PreparedFolder
from speechllm_plugin.preparation.settings import DEFAULT_TRANSCRIBE_PROBABILITY, Settings
from speechllm_plugin.preparation.vocabulary_plan import PlannedVocabulary

# Widths as in the paper; the number of masks as in its scripts. fairseq masks no time where time_mask_p is 0.
PAPER_SPECAUGMENT = {"time_warp_W": 0, "freq_mask_N": 2, "freq_mask_F": 27, "time_mask_N": 2, "time_mask_T": 100, "time_mask_p": 1.0}
TRANSFORMS = {"*": ["utterance_cmvn"], "_train": ["utterance_cmvn", "specaugment"]}

MOVABLE_COMMENT = "# fairseq reads audio_root, speechllm relative_audio_root (from this file on): this folder can be moved.\n"


def write(
    path: str | Path, *, audio_root: str | Path, target: str, transcript: str | None, movable: bool, specaugment: dict[str, Any], **settings: Any
) -> None:
    """Write a data configuration that this package's task and fairseq's speech_to_text both read.

    Args:
        audio_root: folder that the manifests' `audio` values start from.
        target, transcript: names of the vocabularies beside it, as vocabulary.train() wrote them; None where there are no transcripts.
        movable: audio_root is a folder that moves together with the file.
        specaugment: settings that replace those of PAPER_SPECAUGMENT.
        settings: more keys.
    """
    path = Path(path)
    values: dict[str, Any] = {}
    for prefix, name in (("", target), ("transcript_", transcript)):
        if name is not None:
            values[f"{prefix}vocab_filename"] = f"{name}.txt"
            values[f"{prefix}bpe_tokenizer"] = {"bpe": "sentencepiece", "sentencepiece_model": f"{name}.model"}
    values |= {
        "input_channels": 1,
        "input_feat_per_channel": NUM_BINS,
        "audio_root": Path(audio_root).absolute().as_posix(),
        "transforms": TRANSFORMS,
        "specaugment": {**PAPER_SPECAUGMENT, **specaugment},
        **settings,
    }
    if movable:
        values["relative_audio_root"] = Path(os.path.relpath(audio_root, path.parent)).as_posix()
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    with replacing(path) as part:
        part.write_text(f"{MOVABLE_COMMENT if movable else ''}{text}", encoding="utf-8")


def write_of(folder: PreparedFolder, settings: Settings, vocabularies: Sequence[PlannedVocabulary]) -> None:
    """Write the data configuration of a prepared folder."""
    more: dict[str, Any] = {}
    if vocabularies[0].tags:
        more["prepend_tgt_lang_tag"] = True
    if settings.task == "joint":
        given = settings.transcribe_probability
        more["transcribe_probability"] = DEFAULT_TRANSCRIBE_PROBABILITY if given is None else given
    if settings.sampling_alpha is not None:
        more["sampling_alpha"] = settings.sampling_alpha
    if settings.stores_features:
        more["recording_root"] = Path(settings.root).absolute().as_posix()
    target, *transcript = (planned.name for planned in vocabularies)
    write(
        folder.path / "config.yaml",
        audio_root=folder.path if settings.stores_features else settings.root,
        target=target,
        transcript=transcript[0] if transcript else None,
        movable=settings.stores_features,
        specaugment=dict(settings.specaugment),
        **more,
    )
