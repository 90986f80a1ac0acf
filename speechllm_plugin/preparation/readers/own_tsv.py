"""Own corpora: ROOT/SPLIT.tsv with a header.

Columns: `audio` (from ROOT on, any format that libsndfile reads) and `src_text` (transcript) or `tgt_text` (translation) or both; optional
`offset` and `duration` (seconds), `src_lang`, `tgt_lang`, `speaker`, `id`; others are carried into the manifest.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from speechllm_plugin.data.manifest import UTTERANCE_COLUMNS, Utterance
from speechllm_plugin.files import tsv_rows
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.preparation.readers.seconds import seconds

logger = logging.getLogger(__name__)

TIMES = ("offset", "duration")
LANGUAGE_FLAGS = {"src_lang": "--source-lang", "tgt_lang": "--target-lang"}


def read(root: str | Path, split: str, source_lang: str | None, target_lang: str | None) -> list[CorpusRow]:
    """The rows of a split in the order of its file; a language fills an absent column.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not as it should be, or names another language than the flag.
    """
    path, rows, quoted = Path(root) / f"{split}.tsv", [], []
    for number, (place, row) in enumerate(tsv_rows.rows(path, ["audio"], absent="no such file; correct --root or --splits"), 1):
        if number == 1:
            _warn_of_similar_columns(path, row)
        quoted += [(place, column, value) for column, value in row.items() if _is_quoted(value)]
        for column in ("id", "audio"):
            if not row.get(column, number):
                raise ValueError(f"{place}: {column} must not be empty; fill it in or remove the row")
        utterance = Utterance(
            id=row.get("id", f"{split}_{number}"),
            audio=row["audio"],
            n_frames=0,
            tgt_text=row.get("tgt_text", "").strip(),
            speaker=row.get("speaker", ""),
            src_text=row.get("src_text", "").strip(),
            src_lang=_language(row, "src_lang", source_lang, place),
            tgt_lang=_language(row, "tgt_lang", target_lang, place),
            extra={column: value for column, value in row.items() if column not in UTTERANCE_COLUMNS + TIMES},
        )
        offset, duration = (_time(row, column, place) for column in TIMES)
        rows.append(CorpusRow(utterance, place, offset or 0.0, duration))
    if not rows:
        raise ValueError(f"{path}: must have rows, but has only a header; fill it in or leave it out of --splits")
    if quoted:
        place, column, value = quoted[0]
        more = f", and {len(quoted) - 1} more fields" if len(quoted) > 1 else ""
        logger.warning(f"{place}: {column} is quoted as spreadsheets do ({value}){more}: quotes are text here; save the table without quoting")
    return rows


def _is_quoted(value: str) -> bool:
    """Whether a field stands as spreadsheets store one that has quotes in it: in quotes, with those in it doubled."""
    inner = value[1:-1]
    return len(value) > 3 and value[0] == value[-1] == '"' and '""' in inner and '"' not in inner.replace('""', "")


def _warn_of_similar_columns(path: Path, header: Iterable[str]) -> None:
    known = UTTERANCE_COLUMNS + TIMES
    for column in header:
        meant = re.sub(r"[\s-]+", "_", column.strip().lower())
        if column not in known and meant in known:
            logger.warning(f"{path}:1: the column {column!r} is carried as it is, and not read as {meant}: if it is meant, write {meant}")


def _language(row: Mapping[str, str], column: str, given: str | None, place: str) -> str:
    language = row.get(column, given or "")
    if given and language != given:
        raise ValueError(f"{place}: {column} is {language!r}, but {LANGUAGE_FLAGS[column]} is {given}: leave out the flag or correct the row")
    return language


def _time(row: Mapping[str, str], column: str, place: str) -> float | None:
    """Seconds; None where the column is absent or empty."""
    text = row.get(column)
    return seconds(text, column, place, is_positive=column == "duration") if text else None
