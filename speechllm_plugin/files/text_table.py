"""Tables as text: aligned for a terminal, or in Markdown."""

import re
from collections.abc import Sequence

_MARKUP = re.compile(r"([\\`*_<>|~]|(?<=\])\()")  # the last: what makes a link


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns two spaces apart, the first aligned to the left, the others to the right."""
    first, *others = [max(map(len, column)) for column in zip(headings, *rows)]
    return [aligned_row(row, [-first, *others]) for row in (headings, *rows)]


def aligned_row(cells: Sequence[str], widths: Sequence[int], between: str = "  ") -> str:
    """One line of a table whose widths are given, as it is printed row by row.

    Args:
        cells: what has no width, at the end, stays as it is.
        widths: of the columns, in characters: negative for one aligned to the left, positive for one to the right.
    """
    padded = [cell.ljust(-width) if width < 0 else cell.rjust(width) for cell, width in zip(cells, widths)]
    return between.join([*padded, *cells[len(widths) :]])


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], rules: Sequence[str] | None = None) -> list[str]:
    """Lines of a Markdown table.

    Args:
        headings, rows: cells in Markdown; a bar in a text needs `bars_escaped` or `markup_escaped`.
        rules: what stands between the headings and the rows, as `:--` for a column aligned to the left and `--:` for one to the right; None
            leaves the alignment to the reader's program.
    """
    return [markdown_row(headings), "|" + "---|" * len(headings) if rules is None else markdown_row(rules), *map(markdown_row, rows)]


def markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def bars_escaped(text: str) -> str:
    """A text as a cell of a Markdown table; other markup in it keeps its meaning."""
    return text.replace("|", "\\|")


def markup_escaped(text: str) -> str:
    """A text in one line of Markdown that shows it as it is."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
