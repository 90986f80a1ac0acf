"""Words and characters: the units that are written, once they are finished, and of which delays are counted."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class LatencyUnit(NamedTuple):
    """A choice of --latency-unit.

    units: the units of a text, in order.
    finished: (a text, the same with one more token) -> whether the token begins another unit, so that the text will not change any more.
    """

    units: Callable[[str], list[str]]
    finished: Callable[[str, str], bool]


def begins_a_word(text: str, longer: str) -> bool:
    return len(longer.split()) > len(text.split())


def characters(text: str) -> list[str]:
    """The characters of a text that are no white space."""
    return list("".join(text.split()))


UNITS = {
    "word": LatencyUnit(str.split, begins_a_word),
    "char": LatencyUnit(characters, lambda text, longer: longer.startswith(text)),  # not so where a character has several tokens
}


def num_finished(tokens: Sequence[int], num_accepted: int, num_written: int, unit: LatencyUnit, text_of: Callable[[Sequence[int]], str]) -> int:
    """The tokens, of those accepted, whose units are finished: what comes next begins another one.

    Args:
        tokens: of a hypothesis, the end of sentence last; one behind `num_accepted` is there.
        num_written: tokens at its start that stand already.
        text_of: the text of tokens; of the end of sentence, none.
    """
    for size in range(num_accepted, num_written, -1):
        if size == len(tokens) - 1 or unit.finished(text_of(tokens[:size]), text_of(tokens[: size + 1])):
            return size
    return num_written
