"""Rows of TSV files: a header, one line per row, fields separated by tabs, quotes are text."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from speechllm_plugin.text.one_line import excerpt

# Spreadsheets put a mark before the first column's name, which this encoding skips.
WITH_OR_WITHOUT_MARK = "utf-8-sig"


def rows(
    path: str | Path, needed: Sequence[str], *, absent: str, encoding: str = WITH_OR_WITHOUT_MARK, escapechar: str | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """The place (FILE:LINE) and the values by column of every row; empty lines are skipped.

    Args:
        needed: columns that the header must have; it may have more.
        absent: the message where there is no such file, without its path: what is missing, and what to do.
        encoding: UTF-8 in one of its names.
        escapechar: the character that makes the next one plain text, as in Common Voice; None: there is none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a needed column is missing, a column stands twice, a row has too few or too many fields, or the file is not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {absent}")
    with open(path, encoding=encoding, newline="") as lines:
        reader = csv.reader(lines, delimiter="\t", quotechar=None, doublequote=False, quoting=csv.QUOTE_NONE, escapechar=escapechar)
        try:
            header = next(reader, [])
            _check_header(path, header, needed)
            for row in reader:
                if not row:
                    continue
                place = f"{path}:{reader.line_num}"
                if len(row) != len(header):
                    raise ValueError(
                        f"{place}: the row must have {len(header)} fields as the header has, but has {len(row)}; "
                        f"fields are separated by one tab ({excerpt(row[0])} ...)"
                    )
                yield place, dict(zip(header, row))
        except csv.Error as error:
            raise ValueError(f"{path}:{reader.line_num}: not a readable row ({error}); correct the row") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: must be UTF-8, but is not ({error}); convert it, e.g. with iconv") from error


def _check_header(path: Path, header: Sequence[str], needed: Sequence[str]) -> None:
    for column in needed:
        if column not in header:
            capitals = next((f"; write {other!r} in small letters" for other in header if other.strip().lower() == column), "")
            raise ValueError(
                f"{path}:1: column {column!r} is missing; the header must have {' '.join(needed)}, separated by tabs, "
                f"but has {' '.join(map(repr, header)) or 'nothing'}{capitals}"
            )
    doubled = [column for column in header if header.count(column) > 1]
    if doubled:
        raise ValueError(f"{path}:1: column {doubled[0]!r} stands twice; rename or remove one")
