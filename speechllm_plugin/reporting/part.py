"""What every part of a report is made of: the facts it needs, its numbers, its tables, its figures, its place in the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from speechllm_plugin.reporting.tables.table import Table

HEADER = "header"  # of the page, above the links to the sections
PLAIN = "plain_part.html"


class Content(NamedTuple):
    """What a part has found.

    tables:  in the order of the page; the name of each is distinct within the report.
    numbers: what the figures, the template and other parts take; None where the tables say everything.
    """

    tables: Sequence[Table] = ()
    numbers: Any = None


@dataclass(frozen=True)
class Part:
    """An entry of PARTS.

    title:    the heading.
    needs:    names of FACTS and of other parts; of a part, its numbers.
    compute:  takes what is needed by name; returns the Content, or None to leave the part out of the page.
    figures:  takes the Study and the numbers; returns Charts, or something else that the template lays out.
    template: file in the folder `parts`; it is given `numbers`, `tables` by name, `figures`, and what page.py gives to all of them.
    written:  names of the tables that --tables writes into files.
    within:   the part above in whose section this one stands, under a smaller heading, if that part is not left out; HEADER; "" for a section
              of its own.
    link:     what the page's list of sections calls it, if not by its title.
    """

    title: str
    needs: tuple[str, ...]
    compute: Callable[..., Content | None]
    figures: Callable[..., Sequence] | None = None
    template: str = PLAIN
    written: tuple[str, ...] = ()
    within: str = ""
    link: str = ""
