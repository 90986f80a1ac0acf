"""The outcome of a check."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """The number that a check measured, and up to which it is right.

    deviation: the number; None if nothing was measured.
    bound:     the largest deviation that is right; None if the check does not apply.
    note:      what a reader should know beside the numbers.
    """

    deviation: float | None
    bound: float | None
    note: str = ""

    @property
    def status(self) -> str:
        if self.bound is None:
            return "n/a"
        return "pass" if self.deviation <= self.bound else "fail"  # nan is no pass


def not_applicable(reason: str, deviation: float | None = None) -> Outcome:
    return Outcome(deviation, None, reason)
