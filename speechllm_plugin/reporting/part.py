"""What every part of a report has: results in groups, a table of them, and what is left out."""

from collections.abc import Sequence
from typing import NamedTuple

from speechllm_plugin.reporting.results import Result, Settings, evaluate, of_measures
from speechllm_plugin.reporting.tables.table import Table
from speechllm_plugin.scoring.measures import Measure


class Row(NamedTuple):
    """label; size: of how many utterances or words; the numbers."""

    label: str
    size: int
    result: Result


class Part(NamedTuple):
    """rows: heading of a group -> its rows; left_out: name -> reason."""

    rows: dict[str, list[Row]]
    table: Table
    left_out: dict[str, str]

    @property
    def filled(self) -> list[Row]:
        """The rows that are of something."""
        return [row for rows in self.rows.values() for row in rows if row.size]


class Measured(NamedTuple):
    """The first system's measure, for its names and explanation, and the Result of all systems."""

    measure: Measure
    result: Result

    @property
    def row(self) -> Row:
        return Row(self.measure.heading, int(self.measure.statistics[:, 1].sum()), self.result)

    @property
    def out_of(self) -> str:
        """Out of how many, for all systems; a dash where it depends on the outputs."""
        numbers = {int(number) for statistics in self.result.quantity.statistics for number in statistics[..., 1].sum(axis=1)}
        return f"{numbers.pop():,}" if len(numbers) == 1 else "–"


def measured(of_systems: Sequence[Sequence[Sequence[Measure]]], settings: Settings) -> list[Measured]:
    """Each measure with its Result. of_systems: of each system, of each of its seeds, the same measures."""
    first = of_systems[0][0]
    quantities = [of_measures([[measures[number] for measures in seeds] for seeds in of_systems]) for number in range(len(first))]
    return [Measured(*each) for each in zip(first, evaluate(quantities, settings))]
