"""The Table of Results: score and interval of each system; difference, interval and p-values of each pair."""

from collections.abc import Sequence

from speechllm_plugin.reporting.results import LEVEL, Quantity, Result
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.formats import MINUS
from speechllm_plugin.reporting.tables.table import Cell, Column, Section, Table

ARROW = {True: "↓", False: "↑"}  # whether lower is better
MOST_SIDE_BY_SIDE = 2  # systems: of more, each has a row of its own below the first


def with_arrow(quantity: Quantity) -> str:
    """`WER ↓`: the heading, and which way is better."""
    return f"{quantity.heading} {ARROW[quantity.lower_is_better]}"


def note_on_winners(family: str, num_systems: int) -> str:
    """A note on what bold means. family: what Holm's correction is over."""
    pairs = " and all pairs of systems" if num_systems > 2 else ""
    return f"Bold: better, as the p of approximate randomisation is below {LEVEL} after Holm's correction over {family}{pairs}."


def comparison_table(
    name: str,
    caption: str,
    systems: Sequence[str],
    labels: Sequence[Column],
    sections: Sequence[tuple[str, Sequence[tuple[Sequence[str], Result]]]],
    notes: Sequence[str] = (),
    explanations: Sequence[str] = (),
    decimals: int = 2,
    both_tests: bool = False,
) -> Table:
    """The Table of results.

    Args:
        systems: names; each difference is first - other. They stand side by side, or where they are many, one below the other in each row.
        labels: the columns before the numbers.
        sections: heading, and rows of (cells of the labels, Result).
        both_tests: the p-value of the bootstrap as well, and the difference in percent of the other system's score.
    """
    results = [result for _, rows in sections for _, result in rows]
    has_seeds = any(result.quantity.statistics[0].shape[0] > 1 for result in results)
    seeds = " ± seeds" if has_seeds else ""
    of_system = [f"score{seeds}", "95% interval"]
    of_pair = [f"difference{seeds}", "95% interval", *(["in %", "95% interval", "p bootstrap", "p random."] if both_tests else ["p"]), "p Holm"]
    columns = list(labels)
    if len(systems) > MOST_SIDE_BY_SIDE:
        columns += [
            Column("system", is_text=True),
            *map(Column, of_system),
            *(Column(heading, f"first {MINUS} system") for heading in of_pair),
        ]
    else:
        columns += [Column(heading, system) for system in systems for heading in of_system]
        columns += [Column(heading, f"{systems[0]} {MINUS} {other}") for other in systems[1:] for heading in of_pair]

    def with_deviation(text, deviation):
        return f"{text} ± {formats.number(deviation, decimals)}" if has_seeds and text != formats.NO_VALUE else text

    def score(result, system):
        winners = {result.winner(1)} if len(systems) == 2 else set()
        interval = result.intervals[system]
        text = with_deviation(formats.number(interval.score, decimals), interval.deviation)
        return [Cell(text, system in winners), formats.interval(interval.low, interval.high, decimals)]

    def pair(result, other):
        comparison = result.comparisons[other - 1]
        difference = with_deviation(formats.difference(comparison.difference, decimals), comparison.seed_deviation)
        cells = [Cell(difference, result.winner(other) is not None), formats.interval(comparison.low, comparison.high, decimals, signed=True)]
        if both_tests:
            cells += [formats.difference(comparison.relative, 1), formats.interval(comparison.relative_low, comparison.relative_high, 1, signed=True)]
            cells += [formats.p_value(comparison.p_bootstrap)]
        return [*cells, formats.p_value(comparison.p_randomisation), formats.p_value(result.adjusted[other - 1])]

    def rows_of(cells, result):
        numbers = range(len(systems))
        if len(systems) <= MOST_SIDE_BY_SIDE:
            return [
                [*cells, *(cell for each in numbers for cell in score(result, each)), *(cell for each in numbers[1:] for cell in pair(result, each))]
            ]
        first = [*cells, systems[0], *score(result, 0), *[""] * len(of_pair)]
        return [first, *([*[""] * len(cells), systems[each], *score(result, each), *pair(result, each)] for each in numbers[1:])]

    filled = [Section(heading, [row for each in rows for row in rows_of(*each)]) for heading, rows in sections]
    return Table(name, caption, columns, filled, notes, explanations)
