"""The Table of Results: score and interval of each system; difference, interval and p-values of each pair."""

from collections.abc import Sequence

from speechllm_plugin.reporting.results import LEVEL, Quantity, Result
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.formats import MINUS
from speechllm_plugin.reporting.tables.table import Cell, Column, Section, Table

ARROW = {True: "↓", False: "↑"}  # whether lower is better


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
        systems: names; each difference is first - other.
        labels: the columns before the numbers.
        sections: heading, and rows of (cells of the labels, Result).
        both_tests: the p-value of the bootstrap as well.
    """
    results = [result for _, rows in sections for _, result in rows]
    has_seeds = any(result.quantity.statistics[0].shape[0] > 1 for result in results)
    seeds = " ± seeds" if has_seeds else ""
    columns = list(labels)
    for system in systems:
        columns += [Column(f"score{seeds}", system), Column("95% interval", system)]
    for other in systems[1:]:
        tests = ["p bootstrap", "p random."] if both_tests else ["p"]
        columns += [Column(heading, f"{systems[0]} {MINUS} {other}") for heading in (f"difference{seeds}", "95% interval", *tests, "p Holm")]

    def with_deviation(text, deviation):
        return f"{text} ± {formats.number(deviation, decimals)}" if has_seeds and text != formats.NO_VALUE else text

    def row(cells, result):
        winners = {result.winner(other) for other in range(1, len(systems))} if len(systems) == 2 else set()
        row = list(cells)
        for system, interval in enumerate(result.intervals):
            score = with_deviation(formats.number(interval.score, decimals), interval.deviation)
            row += [Cell(score, system in winners), formats.interval(interval.low, interval.high, decimals)]
        for other, (comparison, adjusted) in enumerate(zip(result.comparisons, result.adjusted), 1):
            difference = with_deviation(formats.difference(comparison.difference, decimals), comparison.seed_deviation)
            row += [Cell(difference, result.winner(other) is not None), formats.interval(comparison.low, comparison.high, decimals, signed=True)]
            row += [formats.p_value(comparison.p_bootstrap)] if both_tests else []
            row += [formats.p_value(comparison.p_randomisation), formats.p_value(adjusted)]
        return row

    return Table(name, caption, columns, [Section(heading, [row(*each) for each in rows]) for heading, rows in sections], notes, explanations)
