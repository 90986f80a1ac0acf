"""LOOKS: colours that colour-blind readers can tell apart too, and shapes that differ without any colour."""

from typing import NamedTuple

from speechllm_plugin.reporting.tables.formats import enumeration


class Look(NamedTuple):
    """Colour and shape of a system.

    colour:      as HTML writes it.
    marker:      the shape in matplotlib.
    symbol:      the same shape in a text.
    colour_name: for readers who do not see it; likewise shape_name.
    """

    colour: str
    marker: str
    symbol: str
    colour_name: str
    shape_name: str


# Okabe and Ito 2008, Color Universal Design; the last two darkened until they are readable on white.
LOOKS = [
    Look("#0072B2", "o", "●", "blue", "circles"),
    Look("#D55E00", "s", "■", "orange", "squares"),
    Look("#00805C", "^", "▲", "green", "triangles"),
    Look("#9C4F86", "D", "◆", "purple", "diamonds"),
]
MOST_SYSTEMS = len(LOOKS)
NEUTRAL = "#3c4149"
FAINT = "#8a8f98"


def described(names, looks=LOOKS) -> str:
    """`dfp (blue circles) and xattn (orange squares)`, for readers who do not see the picture."""
    return enumeration(f"{name} ({look.colour_name} {look.shape_name})" for name, look in zip(names, looks))
