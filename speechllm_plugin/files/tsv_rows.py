"""Rows of the TSV files of corpora: a header, one line per row, quotes are text."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path


def rows(path, needed: Sequence[str], escapechar: str | None = None) -> Iterator[tuple[str, dict[str, str]]]:
    """The place (FILE:LINE) and the values by column of every row.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a needed column is missing, a column stands twice, a row has too few or too many fields, or the file is not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; correct --root, --splits or the languages")
    # utf-8-sig: spreadsheets put a mark before the first column's name.
    with open(path, encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, delimiter="\t", quotechar=None, quoting=csv.QUOTE_NONE, escapechar=escapechar)
        try:
            header = next(reader, [])
            _check_header(path, header, needed)
            for row in reader:
                if not row:
                    continue
                place = f"{path}:{reader.line_num}"
                if len(row) != len(header):
                    raise ValueError(f"{place}: the row must have {len(header)} fields as the header has, but has {len(row)} ({row[0]!r} ...)")
                yield place, dict(zip(header, row))
        except csv.Error as error:
            raise ValueError(f"{path}:{reader.line_num}: not a readable row ({error}); correct the row") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: must be UTF-8, but is not ({error}); convert it, e.g. with iconv") from error


def _check_header(path, header, needed):
    for column in needed:
        if column not in header:
            raise ValueError(
                f"{path}:1: column {column!r} is missing; the header must have {' '.join(needed)}, separated by tabs, "
                f"but has {' '.join(header) or 'nothing'}"
            )
    doubled = [column for column in header if header.count(column) > 1]
    if doubled:
        raise ValueError(f"{path}:1: column {doubled[0]!r} stands twice; rename or remove one")
