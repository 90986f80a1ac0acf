"""Harder test sets of a prepared split: its utterances joined to long ones, or each in noise. DATA/NAME.tsv and DATA/NAME/*.flac.

Texts stay what they are, so that scores show what length or noise costs. A manifest is written when all of its sounds are there.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from speechllm_plugin.data import audio, features, manifest
from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import UTTERANCE_COLUMNS, Utterance
from speechllm_plugin.data.recording import RECORDING_COLUMN, recording_of
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.digests import short_digest
from speechllm_plugin.preparation.noise import mixed
from speechllm_plugin.preparation.silent_split import start_of_audio
from speechllm_plugin.text.progress import with_progress
from speechllm_plugin.text.word_splitting import WRITTEN_WITHOUT_BLANKS

COLUMNS_OF_LANGUAGES = ("src_lang", "tgt_lang")

Noise = Callable[[int, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Condition:
    """What a test set does to its utterances.

    name:    behind the split's name in that of the test set.
    columns: of the manifest, in addition to the split's.
    recipe:  in words, all that the samples depend on beside the recordings.
    snr:     of the noise (dB); None for none.
    noise:   makes (num_samples,) of it.
    seed:    of the noise. That of an utterance is the same at every ratio.
    """

    name: str
    columns: dict[str, str]
    recipe: str
    snr: float | None = None
    noise: Noise | None = None
    seed: int = 0


def groups_of(utterances: Sequence[Utterance], seconds: float, columns: Sequence[str]) -> list[list[Utterance]]:
    """The utterances that become one, in the order of the manifest: those of equal columns and languages, cut into parts of nearly equal length.

    Args:
        seconds: about so long; a part is as near to it as whole utterances and the length of all of them allow.
        columns: by which utterances belong together.

    Raises:
        ValueError: the manifest has no such column.
    """
    together: dict[tuple[str, ...], list[Utterance]] = {}
    for utterance in utterances:
        together.setdefault(tuple(value_of(utterance, column) for column in (*columns, *COLUMNS_OF_LANGUAGES)), []).append(utterance)
    groups = []
    for members in together.values():
        lengths = np.array([utterance.n_frames for utterance in members]) * features.FRAME_SHIFT_SECONDS
        total, middles = lengths.sum(), lengths.cumsum() - lengths / 2
        few = max(1, int(total / seconds))
        num_parts = min((few, few + 1), key=lambda number: abs(total / number - seconds))
        part = np.minimum(middles * num_parts // total, num_parts - 1)
        groups += [[members[index] for index in np.flatnonzero(part == number)] for number in range(num_parts)]
    return [group for group in groups if group]


def value_of(utterance: Utterance, column: str) -> str:
    if column in utterance.extra:
        return utterance.extra[column]
    if column not in UTTERANCE_COLUMNS:
        raise ValueError(f"--join-by {column}: the manifest has no such column; it has {' '.join((*UTTERANCE_COLUMNS, *utterance.extra))}")
    return str(getattr(utterance, column))


def joined_text(texts: Sequence[str]) -> str:
    """The texts one behind the other, with a blank where their script has blanks."""
    text = ""
    for each in filter(None, texts):
        is_close = text and WRITTEN_WITHOUT_BLANKS.match(text[-1]) and WRITTEN_WITHOUT_BLANKS.match(each)
        text += ("" if not text or is_close else " ") + each
    return text


def plan(folder: Path, config: DataConfig, groups: Sequence[Sequence[Utterance]], condition: Condition) -> list[Utterance]:
    """The rows of the manifest, with a length that is to be found yet. The name of a file has all that its samples depend on.

    Args:
        folder: where the files are going to be.
        groups: utterances that follow one another in one file.

    Raises:
        ValueError: an utterance has features, but no recording.
    """
    rows = []
    for number, group in enumerate(groups):
        first, sources = group[0], [source_of(utterance, config)[0] for utterance in group]
        key = short_digest([json.dumps([sources, condition.recipe, number])])
        extra = {column: value if all(each.extra[column] == value for each in group) else "" for column, value in first.extra.items()}
        extra.pop(RECORDING_COLUMN, None)
        speakers = {utterance.speaker for utterance in group}
        rows.append(
            replace(
                first,
                id=first.id if len(group) == 1 else f"{first.id}+{len(group) - 1}",
                audio=f"{start_of_audio(folder, config)}/{number}_{key}.flac",
                n_frames=1,
                tgt_text=joined_text([utterance.tgt_text for utterance in group]),
                src_text=joined_text([utterance.src_text for utterance in group]),
                speaker=first.speaker if len(speakers) == 1 else "",
                extra=extra | condition.columns | ({"utterances": str(len(group))} if condition.snr is None else {}),
            )
        )
    return rows


def source_of(utterance: Utterance, config: DataConfig) -> tuple[str, Path]:
    """The arguments of audio.read for an utterance."""
    found = recording_of(utterance, config)
    if found is None:
        raise ValueError(
            f"{utterance.id}: the manifest has its features ({utterance.audio}), but names no recording, whose sound is needed: prepare the "
            "data again, with recordings that are there"
        )
    return found


def is_made(path: Path, planned: Sequence[Utterance], audio_root: Path) -> bool:
    """Whether the manifest and all of its files are there.

    Raises:
        ValueError: the manifest has other rows than planned.
    """
    if not path.exists():
        return False
    present = manifest.read(path)
    if list(map(_without_length_and_folder, present)) != list(map(_without_length_and_folder, planned)):
        raise ValueError(f"{path}: was made with other options, of other rows, or by somebody else; delete it to make it anew")
    return all(Path(audio_root, utterance.audio).is_file() for utterance in present)


def write(
    folder: Path, config: DataConfig, groups: Sequence[Sequence[Utterance]], planned: Sequence[Utterance], condition: Condition
) -> list[Utterance]:
    """Write the sounds of the planned rows into their folder, then the manifest beside it, whose rows are returned.

    Raises:
        ValueError: a recording cannot be read, or is silent where noise is to be added.
    """
    rows = []
    for number, (group, row) in enumerate(zip(with_progress(groups, folder.name, "file"), planned, strict=True)):
        waveform = np.concatenate([audio.read(*source_of(utterance, config)) for utterance in group])
        if condition.snr is not None and condition.noise is not None:
            try:
                waveform = mixed(waveform, condition.noise(len(waveform), np.random.default_rng((condition.seed, number))), condition.snr)
            except ValueError as error:
                raise ValueError(f"{group[0].id}: {error}") from error
        with replacing(folder / Path(row.audio).name) as part:
            soundfile.write(part, waveform, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
        rows.append(replace(row, n_frames=features.num_frames(len(waveform))))
    manifest.write(folder.with_name(f"{folder.name}.tsv"), rows)
    return rows


def _without_length_and_folder(utterance: Utterance) -> Utterance:
    return replace(utterance, n_frames=1, audio=Path(utterance.audio).name)
