"""Tables as text: aligned for a terminal, or in Markdown."""

import re
from collections.abc import Sequence

_MARKUP = re.compile(r"([\\`*_<>|~]|(?<=\])\()")  # the last: what makes a link


def aligned(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns two spaces apart, the first aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows)]
    return ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]) for row in (headings, *rows)]


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
