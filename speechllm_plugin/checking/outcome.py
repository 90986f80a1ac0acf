"""What a check found."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """deviation: what was measured, None if nothing was; bound: up to which it is right, None if the check does not apply; note: what to know."""

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
