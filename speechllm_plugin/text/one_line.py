"""Texts from files in messages: one line, of a bounded length, in which nothing commands a terminal."""

import re

MESSAGE_CHARACTERS, VALUE_CHARACTERS = 2000, 120
# A terminal obeys the control characters of both ranges; a surrogate is a byte of a file's name that is not UTF-8, and cannot be printed.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WITH_RETURNS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def harmless(text: str, keep_returns: bool = False) -> str:
    r"""A text whose control characters stand as Python writes them (`\x1b`); tabs and line feeds stay.

    Args:
        keep_returns: a carriage return stays too, as bars of progress need it.
    """
    return (_WITH_RETURNS if keep_returns else _CONTROLS).sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(message: str) -> str:
    r"""A message in one line: line feeds and tabs stand as `\n` and `\t`, and the middle of one that is too long is left out."""
    return _without_middle(harmless(message.strip()).replace("\n", "\\n").replace("\t", "\\t"), MESSAGE_CHARACTERS)


def excerpt(value: object) -> str:
    """A value as Python writes it; of one that is too long, begin and end."""
    return _without_middle(repr(value), VALUE_CHARACTERS)


def _without_middle(text: str, most: int) -> str:
    left_out = len(text) - most
    return text if left_out <= 0 else f"{text[: most // 2]} ... ({left_out:,} characters left out) ... {text[-most // 2 :]}"
