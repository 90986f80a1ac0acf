"""Speakers: a table of their attributes beside the manifest, and which accents are those of native speakers."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from speechllm_plugin.data.manifest import UTTERANCE_COLUMNS, Utterance
from speechllm_plugin.files import tsv_rows, yaml_file
from speechllm_plugin.text.one_line import excerpt

DEFAULT_NATIVE = Path(__file__).with_name("native.yaml")
NATIVE, NON_NATIVE, UNCLEAR = GROUPS = ("native", "non-native", "unclear")

# Some releases of Common Voice list several accents in one value. Commas within parentheses belong to one accent's name.
BETWEEN_ACCENTS = re.compile(r"[|;]|,(?![^(]*\))")

NUM_SPEAKERS_SHOWN = 5


def join_speakers(utterances: Sequence[Utterance], path: str | Path) -> list[Utterance]:
    """The utterances with more columns in `extra`: what a table says about the speaker of each.

    Args:
        path: TSV in UTF-8 with a header: the column `speaker`, and others (accent, gender ...).

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: it is not as it should be, names a speaker twice, has a column that the manifest has too, or lacks a speaker.
    """
    attributes: dict[str, dict[str, str]] = {}
    place_of: dict[str, str] = {}
    for place, row in tsv_rows.rows(path, ["speaker"], absent="no such table of speakers; give a TSV with the column speaker and others"):
        speaker = row.pop("speaker")
        if speaker in place_of:
            raise ValueError(f"{place}: each speaker must have one row, but {speaker!r} also has {place_of[speaker]}; remove one")
        attributes[speaker], place_of[speaker] = row, place
    if not attributes:
        raise ValueError(f"{path}: must have a row for each speaker, but has only a header; fill it in")
    columns = list(next(iter(attributes.values())))
    if not columns:
        raise ValueError(f"{path}:1: must have columns beside speaker, but has none; add what is known, e.g. accent")
    known = {*UTTERANCE_COLUMNS, *(column for utterance in utterances for column in utterance.extra)}
    doubled = [column for column in columns if column in known]
    if doubled:
        raise ValueError(f"{path}:1: column {doubled[0]!r} also stands in the manifest; rename or remove one of them")
    lacking = list(dict.fromkeys(utterance.speaker for utterance in utterances if utterance.speaker not in attributes))
    if lacking:
        shown = ", ".join(speaker or "(empty)" for speaker in lacking[:NUM_SPEAKERS_SHOWN])
        raise ValueError(
            f"{path}: must have every speaker of the manifest, but lacks {len(lacking)} (first: {shown}); "
            "add their rows, with empty fields where nothing is known"
        )
    return [replace(utterance, extra=utterance.extra | attributes[utterance.speaker]) for utterance in utterances]


def read_native(path: str | Path = DEFAULT_NATIVE) -> dict[str, str]:
    """Accent or pattern -> one of GROUPS, in small letters and in the file's order, for `nativeness`.

    Args:
        path: YAML in UTF-8 whose keys are of GROUPS, each with a list of accents; native.yaml beside this file says how they are looked up.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file, or an accent is in two lists.
    """
    path = Path(path)
    native: dict[str, str] = {}
    for group, accents in _lists(path):
        for accent in accents:
            if not isinstance(accent, str) or not accent.strip():
                raise ValueError(f'{path}: {group} must list accents as text, but has {excerpt(accent)}; put it in quotes, e.g. "other: *"')
            if native.setdefault(_key(accent), group) != group:
                raise ValueError(f"{path}: an accent must be in one list, but {accent!r} is in {native[_key(accent)]} and {group}; remove one")
    return native


def nativeness(accent: str, native: Mapping[str, str], language: str = "") -> str | None:
    """One of GROUPS for an accent; None if the table does not have it.

    Args:
        accent: as in the manifest.
        native: of `read_native`.
        language: of the speech (src_lang).
    """
    group = _look_up(_key(accent), native, language.lower())
    if group is None:
        parts = {_look_up(_key(part), native, language.lower()) for part in BETWEEN_ACCENTS.split(accent)} - {None}
        group = UNCLEAR if len(parts) > 1 else next(iter(parts), None)
    return group


def _look_up(accent: str, native: Mapping[str, str], language: str) -> str | None:
    names = [f"{language}/{accent}", accent]
    for name in names:
        if name in native:
            return native[name]
    patterns = [pattern for pattern in native if "*" in pattern]
    for name in names:
        for pattern in patterns:
            if re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name):
                return native[pattern]
    return None


def _key(accent: str) -> str:
    return " ".join(accent.lower().split())


def _lists(path: Path) -> Iterator[tuple[str, list]]:
    """The keys and values of the file, its form checked."""
    values = yaml_file.read(
        path, absent=f"no such table of accents; copy {DEFAULT_NATIVE} and edit it", remedy="entries with a colon or a star need quotes"
    )
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must have the keys {', '.join(GROUPS)}, each with a list of accents, but is {excerpt(values)}")
    for key, accents in values.items():
        if key not in GROUPS:
            raise ValueError(f"{path}: a key must be one of {', '.join(GROUPS)}, but is {excerpt(key)}; correct it")
        if not isinstance(accents, list | None):
            raise ValueError(f"{path}: {key} must be a list of accents (lines that start with -), but is {excerpt(accents)}")
        yield key, accents or []
