"""CoVoST 2 on Common Voice: ROOT/LANG/{clips/*.mp3,validated.tsv,covost_v2.SRC_TGT.tsv}, LANG being the language of the speech."""

import os
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files import tsv_rows
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.text.listing import first_few

# Split: its names in the TSV, as in the preparation of CoVoST's authors; they use the two names below for nothing.
SPLIT_NAMES = {"train": ("train", "train_covost"), "dev": ("dev",), "test": ("test",)}
UNUSED_SPLIT_NAMES = ("dev_covost", "test_covost")
NO_SUCH_TSV = "no such file; correct --root, --splits or the languages"

# Column of the manifest: its names in Common Voice's releases.
ABOUT_SPEAKER = {"accent": ("accent", "accents"), "age": ("age",), "gender": ("gender",)}


def read(root: str | Path, split: str, source_lang: str, target_lang: str) -> list[CorpusRow]:
    """The rows of a split in the order of covost_v2.SRC_TGT.tsv; left out are those without a row in validated.tsv, and empty clips.

    Raises:
        FileNotFoundError: the folder of the language or one of the two TSV files is missing.
        ValueError: there is no such split, or a TSV file is not as it should be.
    """
    if split not in SPLIT_NAMES:
        raise ValueError(f"--splits must be of {' '.join(SPLIT_NAMES)} for covost2, but has {split}")
    folder = Path(root) / source_lang
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such language; correct --root or --source-lang")
    translations = _translations(folder / f"covost_v2.{source_lang}_{target_lang}.tsv", split)
    recordings_path = folder / "validated.tsv"
    recordings = _recordings(recordings_path, translations)
    rows = []
    for clip, (place, translation) in translations.items():
        recording = recordings.get(clip)
        utterance = Utterance(
            id=clip.removesuffix(".mp3"),
            audio=f"{source_lang}/clips/{clip}",
            n_frames=0,
            tgt_text=translation.strip(),
            speaker=recording["client_id"] if recording else "",
            src_text=recording["sentence"].strip() if recording else "",
            src_lang=source_lang,
            tgt_lang=target_lang,
            extra={column: _first(recording, names) for column, names in ABOUT_SPEAKER.items()} if recording else {},
        )
        left_out = _empty(folder / "clips" / clip) if recording else f"that {recordings_path} does not have"
        rows.append(CorpusRow(utterance, place, left_out=left_out, may_be_empty=True))
    return rows


def directions(root: str | Path) -> list[tuple[str, str]]:
    """Source and target language of every file ROOT/*/covost_v2.SOURCE_TARGET.tsv, sorted."""
    names = (path.name.removeprefix("covost_v2.").removesuffix(".tsv") for path in Path(root).glob("*/covost_v2.*_*.tsv"))
    return sorted((source, target) for source, _, target in (name.partition("_") for name in names))


def _translations(path: Path, split: str) -> dict[str, tuple[str, str]]:
    """Clip -> place and translation, of one split."""
    clips: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    translations = {}
    for place, row in tsv_rows.rows(path, ["path", "translation", "split"], absent=NO_SUCH_TSV, escapechar="\\"):
        clips[row["path"]] += 1
        if row["split"] in SPLIT_NAMES[split]:
            translations[row["path"]] = place, row["translation"]
        elif row["split"] not in UNUSED_SPLIT_NAMES and not any(row["split"] in names for names in SPLIT_NAMES.values()):
            unknown[row["split"]] += 1
    if unknown:
        names = " ".join(name for names in SPLIT_NAMES.values() for name in names)
        raise ValueError(f"{path}: split must be of {names}, but is {first_few(list(unknown))} in {unknown.total()} rows; correct them")
    _check_unique(path, clips)
    if not translations:
        raise ValueError(f"{path}: must have rows of the split {split}, but has none among {clips.total()}; correct the file or --splits")
    return translations


def _recordings(path: Path, clips: Container[str]) -> dict[str, dict[str, str]]:
    """Clip -> its row of validated.tsv, for some clips."""
    counts: Counter[str] = Counter()
    recordings = {}
    for _, row in tsv_rows.rows(path, ["path", "sentence", "client_id"], absent=NO_SUCH_TSV, escapechar="\\"):
        if row["path"] in clips:
            counts[row["path"]] += 1
            recordings[row["path"]] = row
    _check_unique(path, counts)
    return recordings


def _empty(clip: Path) -> str:
    """Why a clip is left out: some 500 of the releases of Common Voice are empty. A missing one is another matter."""
    try:
        return "" if os.path.getsize(clip) else "that are empty (0 bytes)"
    except (OSError, ValueError):  # ValueError: no name of a file
        return ""


def _check_unique(path: Path, clips: Mapping[str, int]) -> None:
    doubled = [clip for clip, count in clips.items() if count > 1]
    if doubled:
        raise ValueError(f"{path}: path must be unique, but {len(doubled)} stand twice or more: {first_few(doubled)}; remove their other rows")


def _first(row: Mapping[str, str], columns: Iterable[str]) -> str:
    return next((row[column] for column in columns if column in row), "")
