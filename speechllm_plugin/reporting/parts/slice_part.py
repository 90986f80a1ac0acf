"""The main metric on every slice of the test set."""

import math
from collections.abc import Sequence

from speechllm_plugin.reporting.part import Part, Row
from speechllm_plugin.reporting.results import LEVEL, Result, Settings, evaluate
from speechllm_plugin.reporting.runs import Study
from speechllm_plugin.reporting.tables.comparison_table import comparison_table, note_on_winners
from speechllm_plugin.reporting.tables.table import Column
from speechllm_plugin.scoring.slices import DIMENSIONS, Context, left_out, slices_of


def sliced(study: Study, overall: Result, context: Context, names: Sequence[str] | None, settings: Settings) -> Part:
    """The Part of the named slices, else of all whose facts are there; Holm's correction is over all of them.

    Args:
        overall: of the main metric on the whole set.
    """
    quantity, slices = overall.quantity, slices_of(context, names)
    results = evaluate([quantity.of_rows(quantity.heading, each.rows) for each in slices], settings)
    rows = {}
    for each, result in zip(slices, results):
        heading = DIMENSIONS[each.dimension].heading if each.dimension in DIMENSIONS else each.dimension
        rows.setdefault(heading, []).append(Row(each.value, result.quantity.num_rows, result))
    num_tests = sum(bool(result.quantity.num_rows) for result in results)
    table = comparison_table(
        "slices",
        f"{quantity.heading} by slice, {study.split}",
        study.names,
        [Column("slice", is_text=True), Column("n")],
        [(heading, [([row.label, f"{row.size:,}"], row.result) for row in group]) for heading, group in rows.items()],
        _notes(num_tests, settings, len(study.systems)) if len(study.systems) > 1 else [],
    )
    return Part(rows, table, left_out(context) if names is None else {})


def _notes(num_tests, settings, num_systems):
    notes = [note_on_winners(f"the {num_tests} slices with utterances", num_systems)]
    needed = math.ceil(num_tests * (num_systems - 1) / LEVEL)
    if settings.num_resamples < needed:
        notes.append(f"{settings.num_resamples:,} trials cannot make any of {num_tests} slices significant: take --resamples {needed} or more.")
    return notes
