"""Results in groups of rows: the main metric by slice, the recall of words by frequency, failures by kind."""

from collections.abc import Sequence
from typing import NamedTuple

from speechllm_plugin.reporting.results import Result, Settings, evaluate, of_measures
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.scoring.measures import Measure


class Row(NamedTuple):
    """The Result of one slice or one measure.

    size: how many utterances or words it is of.
    """

    label: str
    size: int
    result: Result


class Breakdown(NamedTuple):
    """Rows under the headings of their groups.

    quantity: what the numbers are, as it stands on an axis.
    rows:     heading of a group -> its rows.
    left_out: name of what is not there -> reason.
    overall:  the Result that the rows are parts of, for pictures; None where there is none.
    """

    quantity: str
    rows: dict[str, list[Row]]
    left_out: dict[str, str]
    overall: Result | None

    @property
    def filled(self) -> list[Row]:
        """The rows that are of at least one utterance or word."""
        return [row for rows in self.rows.values() for row in rows if row.size]


class Measured(NamedTuple):
    """The Result of one measure.

    measure: that of the first system's first seed, for its names and its explanation.
    result:  of all systems.
    """

    measure: Measure
    result: Result

    @property
    def row(self) -> Row:
        return Row(self.measure.heading, int(self.measure.statistics[:, 1].sum()), self.result)

    @property
    def out_of(self) -> str:
        """Out of how many, for all systems; a dash where it depends on the outputs."""
        numbers = {int(number) for statistics in self.result.quantity.statistics for number in statistics[..., 1].sum(axis=1)}
        return f"{numbers.pop():,}" if len(numbers) == 1 else formats.NO_VALUE


def measured(of_systems: Sequence[Sequence[Sequence[Measure]]], settings: Settings) -> list[Measured]:
    """Each measure with its Result. of_systems: of each system, of each of its seeds, the same measures."""
    first = of_systems[0][0]
    quantities = [of_measures([[measures[number] for measures in seeds] for seeds in of_systems]) for number in range(len(first))]
    return [Measured(*each) for each in zip(first, evaluate(quantities, settings))]
