"""Tables of a report: one Table for the page, for Markdown and for LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from speechllm_plugin.files import text_table
from speechllm_plugin.files.text_table import markup_escaped
from speechllm_plugin.reporting.tables.formats import MINUS, NO_VALUE

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", MINUS: "$-$", NO_VALUE: "--", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}", "]": "{]}",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "×": r"$\times$",
}  # fmt: skip


class Column(NamedTuple):
    """A column of a Table.

    heading: of the column.
    group:   heading over this column and its neighbours of the same group; "" for none.
    is_text: aligned to the left, as texts are; numbers are aligned to the right.
    """

    heading: str
    group: str = ""
    is_text: bool = False


class Cell(NamedTuple):
    """A text; strong is set in bold, as a significant winner is."""

    text: str
    strong: bool = False


class Section(NamedTuple):
    """Rows under a heading.

    heading: "" for none.
    rows:    cells, each a str or a Cell.
    """

    heading: str
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True)
class Table:
    """A table of a report.

    name:         of its files, and of its place in the page.
    sections:     rows in groups.
    notes:        lines below it.
    explanations: of its rows, to look up.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    sections: Sequence[Section]
    notes: Sequence[str] = field(default_factory=tuple)
    explanations: Sequence[str] = field(default_factory=tuple)

    @property
    def groups(self) -> list[tuple[str, int]]:
        """The upper headings and the number of columns under each, from the left."""
        groups: list[tuple[str, int]] = []
        for column in self.columns:
            if groups and groups[-1][0] == column.group:
                groups[-1] = (column.group, groups[-1][1] + 1)
            else:
                groups.append((column.group, 1))
        return groups

    @property
    def has_groups(self) -> bool:
        return any(column.group for column in self.columns)

    def cells(self, row: Sequence[str | Cell]) -> list[tuple[Cell, Column]]:
        return [(cell if isinstance(cell, Cell) else Cell(cell), column) for cell, column in zip(row, self.columns, strict=True)]


def markdown(table: Table) -> str:
    """The table as GitHub shows it; the upper headings are joined to the lower ones."""
    rows = []
    for section in table.sections:
        if section.heading:
            rows.append([f"*{markup_escaped(section.heading)}*"] + [""] * (len(table.columns) - 1))
        for row in section.rows:
            cells = [cell for cell, _ in table.cells(row)]
            rows.append([f"**{markup_escaped(cell.text)}**" if cell.strong else markup_escaped(cell.text) for cell in cells])
    headings = [markup_escaped(f"{column.group} {column.heading}".strip()) for column in table.columns]
    lines = text_table.markdown(headings, rows, rules=[":--" if column.is_text else "--:" for column in table.columns])
    notes = [f"{markup_escaped(note)}  " for note in [*table.notes, *table.explanations]]
    return "\n".join([f"**{markup_escaped(table.caption)}**", "", *lines, "", *notes]).rstrip() + "\n"


def latex(table: Table) -> str:
    r"""A tabular in the manner of booktabs, to \input in a table: needs \usepackage{booktabs}, and UTF-8 fonts for the texts of the data."""
    alignment = "".join("l" if column.is_text else "r" for column in table.columns)
    lines = [f"% {_one_line(text)}" for text in (table.caption, *table.notes, *table.explanations)]
    lines += [rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    if table.has_groups:
        cells, rules, first = [], [], 1
        for group, size in table.groups:
            cells.append(rf"\multicolumn{{{size}}}{{c}}{{{latex_text(group)}}}" if group else " & ".join([""] * size))
            rules += [rf"\cmidrule(lr){{{first}-{first + size - 1}}}"] if group else []
            first += size
        lines += [" & ".join(cells) + r" \\", " ".join(rules)]
    lines += [" & ".join(latex_text(column.heading) for column in table.columns) + r" \\", r"\midrule"]
    for number, section in enumerate(table.sections):
        lines += [r"\addlinespace"] if number else []
        if section.heading:
            lines.append(rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\emph{{{latex_text(section.heading)}}}}} \\")
        for row in section.rows:
            cells = [cell for cell, _ in table.cells(row)]
            lines.append(" & ".join(rf"\textbf{{{latex_text(cell.text)}}}" if cell.strong else latex_text(cell.text) for cell in cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in _one_line(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())
