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


# Okabe and Ito 2008, Color Universal Design; from the third on darkened until they are readable on white, or chosen beside them.
LOOKS = [
    Look("#0072B2", "o", "●", "blue", "circles"),
    Look("#D55E00", "s", "■", "orange", "squares"),
    Look("#00805C", "^", "▲", "green", "triangles"),
    Look("#9C4F86", "D", "◆", "purple", "diamonds"),
    Look("#1F1F1F", "v", "▼", "black", "triangles upside down"),
    Look("#8A6100", "P", "✚", "brown", "crosses"),
    Look("#2B7C9E", "*", "★", "light blue", "stars"),
    Look("#6B6B6B", "X", "✖", "grey", "diagonal crosses"),
    Look("#C0306B", "p", "⬟", "red", "pentagons"),
]
MOST_SYSTEMS = len(LOOKS)
NEUTRAL = "#3c4149"
FAINT = "#8a8f98"


def described(names, looks=LOOKS) -> str:
    """`dfp (blue circles) and xattn (orange squares)`, for readers who do not see the picture."""
    return enumeration(f"{name} ({look.colour_name} {look.shape_name})" for name, look in zip(names, looks))
