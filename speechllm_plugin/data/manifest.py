"""The manifest: one utterance per row, in the columns of fairseq's speech-to-text TSV."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechllm_plugin.files import tsv_rows
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.text.one_line import excerpt

MANDATORY_COLUMNS = ("id", "audio", "n_frames", "tgt_text")
OPTIONAL_COLUMNS = ("speaker", "src_text", "src_lang", "tgt_lang")
UTTERANCE_COLUMNS = MANDATORY_COLUMNS + OPTIONAL_COLUMNS

MOST_FRAMES = 10**10  # three years, as in the times of corpora; what is computed with more leaves the range of 64 bits
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)

# fairseq reads with universal newlines, so each of these would move the rest of a row into another field or row.
SEPARATORS = ("\t", "\n", "\r")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a manifest.

    audio: `file`, `file:start_sample:num_samples` (at the file's own rate), `archive.zip:byte_offset:num_bytes` or `file.npy`.
    extra: the columns that fairseq does not know (accent, gender ...), in the order of the file.
    """

    id: str
    audio: str
    n_frames: int
    tgt_text: str
    speaker: str = ""
    src_text: str = ""
    src_lang: str = ""
    tgt_lang: str = ""
    extra: dict[str, str] = field(default_factory=dict)


def read(path) -> list[Utterance]:
    """The utterances of a manifest, in order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a row has too few or too many fields, n_frames is not a positive number,
            an id stands twice, or there is no row.
    """
    utterances: list[Utterance] = []
    line_of_id: dict[str, str] = {}
    # Read as fairseq does: no character is an escape, and no mark is skipped.
    for place, row in tsv_rows.rows(path, MANDATORY_COLUMNS, absent="no such manifest; make it with speechllm prepare", encoding="utf-8"):
        values = {column: row.pop(column) for column in UTTERANCE_COLUMNS if column in row}
        utterance = Utterance(**values | {"n_frames": _n_frames(place, values)}, extra=row)
        line = place.rpartition(":")[2]
        first_line = line_of_id.setdefault(utterance.id, line)
        if first_line is not line:
            raise ValueError(f"{place}: id must be unique, but {excerpt(utterance.id)} also stands in line {first_line}; rename one")
        utterances.append(utterance)
    if not utterances:
        raise ValueError(f"{path}: must have rows, but has only a header; make it again with speechllm prepare")
    return utterances


def write(path, utterances: Sequence[Utterance]) -> None:
    """Write a manifest. Whoever reads it meanwhile sees the old file or the new one, never a part.

    Raises:
        ValueError: a field has a tab or a line break, an id stands twice, or utterances differ in their extra columns.
    """
    path = Path(path)
    others = list(utterances[0].extra) if utterances else []
    seen = set()
    lines = ["\t".join([*UTTERANCE_COLUMNS, *others])]
    for line, utterance in enumerate(utterances, 2):
        place = f"{path}:{line}"
        if utterance.id in seen:
            raise ValueError(f"{place}: id must be unique, but {utterance.id!r} stands in an earlier row; rename one")
        seen.add(utterance.id)
        if list(utterance.extra) != others:
            raise ValueError(
                f"{place}: all rows must have the same extra columns ({' '.join(others) or 'none'}), "
                f"but {utterance.id!r} has {' '.join(utterance.extra) or 'none'}"
            )
        fields = [str(getattr(utterance, column)) for column in UTTERANCE_COLUMNS] + list(utterance.extra.values())
        for column, value in zip([*UTTERANCE_COLUMNS, *others], fields):
            if has_separator(value):
                raise ValueError(f"{place}: {column} must have no tab or line break, but is {value!r}; replace it by a space")
        lines.append("\t".join(fields))
    with replacing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def has_separator(text: str) -> bool:
    """Whether a text would break its row."""
    return any(separator in text for separator in SEPARATORS)


def _n_frames(place, values):
    text = values["n_frames"]
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 0 < number <= MOST_FRAMES:
        raise ValueError(
            f"{place}: n_frames must be a positive whole number (10 ms each), but is {excerpt(text)} (utterance "
            f"{excerpt(values['id'])}); "
            "make the manifest again with speechllm prepare"
        )
    return number
