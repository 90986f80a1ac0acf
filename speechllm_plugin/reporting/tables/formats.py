"""Numbers as text, the same in the page and in all tables."""

import math
from collections.abc import Iterable

NO_VALUE = "–"
MINUS = "−"
_SMALLEST_P = 0.001


def number(value, decimals: int = 2) -> str:
    """`12.30`; a dash where there is no value (None or nan)."""
    if value is None or math.isnan(value):
        return NO_VALUE
    text = f"{value:,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")  # not -0.00
    return text.replace("-", MINUS)


def difference(value, decimals: int = 2) -> str:
    """With its sign: `+0.40`, `−0.40`, `0.00`."""
    text = number(value, decimals)
    return text if text[0] in (MINUS, NO_VALUE) or float(text.replace(",", "")) == 0 else f"+{text}"


def interval(low, high, decimals: int = 2, signed: bool = False) -> str:
    """`[11.80, 12.90]`."""
    form = difference if signed else number
    return NO_VALUE if math.isnan(low) or math.isnan(high) else f"[{form(low, decimals)}, {form(high, decimals)}]"


def p_value(value) -> str:
    """`0.034`, `< 0.001`."""
    if value is None or math.isnan(value):
        return NO_VALUE
    return f"< {_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.3f}"


def p_equation(value) -> str:
    """`p = 0.034`, `p < 0.001`."""
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def duration(seconds: float) -> str:
    """`3.4 s`, `12 min`, `2.6 h`."""
    if seconds < 120:
        return f"{number(seconds, 1)} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{number(seconds / 3600, 1)} h"


def enumeration(words: Iterable[str]) -> str:
    """`a, b and c`."""
    words = list(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def shortened(text: str, width: int) -> str:
    """At most `width` characters; of longer texts both ends, since they tell names of a kind apart."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[-end:]}"
