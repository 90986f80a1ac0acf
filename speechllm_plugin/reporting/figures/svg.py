"""Charts of matplotlib as markup that stands in the page itself."""

import io
import logging
import re
import zlib
from typing import NamedTuple
from xml.etree import ElementTree

# Points of the drawing are CSS pixels of a phone: three panels stand beside each other on a laptop, one on a phone, and texts are as large on both.
WIDTH = 350
_POINTS_PER_INCH = 72
_SETTINGS = {
    "svg.fonttype": "none",  # texts stay texts: to select, to search, to read aloud
    "text.parse_math": False,  # two dollar signs in a text are dollar signs
    "font.size": 11.5,
    "axes.titlesize": 11.5,
    "axes.labelsize": 11.5,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "axes.labelcolor": "#3c4149",
    "xtick.color": "#8a8f98",
    "ytick.color": "#8a8f98",
    "xtick.labelcolor": "#3c4149",
    "ytick.labelcolor": "#3c4149",
    "text.color": "#1b1e23",
    "axes.linewidth": 0.8,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "axes.unicode_minus": True,
}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # texts may have them, XML must not
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT_FAMILY = re.compile(r" ?font-family: [^;]*;?")


class Chart(NamedTuple):
    """A picture.

    title:       the line above it.
    description: what a person who does not see it is told.
    svg:         an element of the page.
    note:        what else stands in the line above it; "" for nothing.
    """

    title: str
    description: str
    svg: str
    note: str = ""


def draw(title: str, description: str, height: float, plot, name: str | None = None) -> Chart:
    """The Chart of what `plot(axes)` draws, WIDTH by height; no two in one page may have the same name (the title if None)."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq lets the debugging messages of all libraries through
    import matplotlib
    from matplotlib.figure import Figure

    name = f"chart-{zlib.crc32((name or title).encode()):08x}"
    with matplotlib.rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH / _POINTS_PER_INCH, height / _POINTS_PER_INCH), layout="constrained")
        plot(figure.subplots())
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", transparent=True)
    return Chart(title, description, _inline(drawn.getvalue(), name, description))


def _inline(drawn: bytes, name: str, description: str) -> str:
    """The SVG as an element of an HTML page: ids that no other chart has, the page's fonts, nothing that acts outside of it."""
    root = ElementTree.fromstring(_CONTROL.sub("", drawn.decode()))
    for element in root.iter():
        element.tag = element.tag.partition("}")[2] or element.tag
        element.attrib = {key.partition("}")[2] or key: value for key, value in element.attrib.items()}
    for child in [child for child in root if child.tag == "metadata"]:
        root.remove(child)
    for definitions in [child for child in root if child.tag == "defs"]:  # a style for every element of the page
        for style in [child for child in definitions if child.tag == "style"]:
            definitions.remove(style)
    used = set()
    for element in root.iter():
        for value in element.attrib.values():
            used.update(_REFERENCE.findall(value))
        if element.get("href", "").startswith("#"):
            used.add(element.get("href")[1:])
    for element in root.iter():
        identifier = element.attrib.pop("id", None)
        if identifier in used:
            element.set("id", f"{name}-{identifier}")
        for key, value in element.attrib.items():
            if key == "href" and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            elif key != "id":
                value = _REFERENCE.sub(lambda match: f"url(#{name}-{match[1]})", value)
                element.set(key, _FONT_FAMILY.sub("", value) if element.tag == "text" else value)
        element.tail = None
        element.text = element.text if element.tag == "text" else None
    root.attrib = {"viewBox": root.get("viewBox"), "role": "img", "aria-label": description}
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
