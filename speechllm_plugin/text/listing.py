"""Many names in one line of a message."""

from collections.abc import Sequence

NAMES_SHOWN = 3


def first_few(names: Sequence[str]) -> str:
    """`a, b, c and 7 more`."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
