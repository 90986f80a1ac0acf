"""The page: the parts of an Analysis in one HTML file, which loads nothing from anywhere."""

from pathlib import Path
from typing import NamedTuple

from speechllm_plugin import __version__
from speechllm_plugin.reporting.analysis import Analysis
from speechllm_plugin.reporting.figures.palette import LOOKS
from speechllm_plugin.reporting.part import HEADER
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables import formats

# Nothing may be loaded, sent or run; pictures and sounds come out of the page itself.
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
FOLDER = Path(__file__).parent


class Block(NamedTuple):
    """The HTML of one part."""

    title: str
    text: str


class Section(NamedTuple):
    """A part and those that stand within its section.

    name: the id; link: what the page's list of sections calls it.
    """

    name: str
    title: str
    link: str
    blocks: list[Block]


def render(analysis: Analysis, title: str | None, command: str) -> str:
    """The HTML of a report.

    Args:
        title: None makes one of the systems' names.
        command: what made the report, to be shown.
    """
    environment = _environment(analysis.study, command)
    header: list[str] = []
    sections: dict[str, Section] = {}
    for name, part in analysis.parts.items():
        if name not in analysis.contents:
            continue
        tables, numbers = analysis.contents[name]
        figures = part.figures(analysis.study, numbers) if part.figures else []
        text = environment.get_template(part.template).render(tables={table.name: table for table in tables}, numbers=numbers, figures=figures)
        if part.within == HEADER:
            header.append(text)
        elif part.within in sections:
            sections[part.within].blocks.append(Block(part.title, text))
        elif part.within == "":
            sections[name] = Section(name, part.title, part.link or part.title, [Block("", text)])
    page = environment.get_template("page.html")
    return page.render(title=title or _title(analysis.study), header=header, sections=list(sections.values())).rstrip("\n")


def _environment(study: Study, command: str):
    """Jinja's, with what all templates may use."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([FOLDER, FOLDER / "parts"]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {
        "study": study,
        "systems": list(zip(study.systems, LOOKS)),
        "looks": dict(zip(study.names, LOOKS)),
        "num_seeds": study.num_seeds,
        "policy": CONTENT_SECURITY_POLICY,
        "style": (FOLDER / "style.css").read_text(encoding="utf-8"),
        "version": __version__,
        "command": command,
    }
    return environment


def _title(study: Study) -> str:
    """`dfp against xattn on tst-COMMON`."""
    first, *others = study.names
    return f"{f'{first} against {formats.enumeration(others)}' if others else first} on {study.split}"
