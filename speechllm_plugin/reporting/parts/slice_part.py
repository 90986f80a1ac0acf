"""The main metric on every slice of the test set."""

import math

from speechllm_plugin.reporting.breakdown import Breakdown, Row
from speechllm_plugin.reporting.figures.forest import forests
from speechllm_plugin.reporting.figures.svg import Chart
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.parts.score_part import Scores
from speechllm_plugin.reporting.results import LEVEL, Settings, evaluate
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables.comparison_table import comparison_table, note_on_winners
from speechllm_plugin.reporting.tables.table import Column
from speechllm_plugin.scoring.slices import DIMENSIONS, Context, left_out, slices_of


def sliced(study: Study, scores: Scores, context: Context, options: Options) -> Content:
    """The Breakdown into the slices that the options name, else into all whose facts are there; Holm's correction is over all of them."""
    overall = scores.results[0]
    quantity, slices = overall.quantity, slices_of(context, options.slices)
    results = evaluate([quantity.of_rows(quantity.heading, each.rows) for each in slices], options.settings)
    rows: dict[str, list[Row]] = {}
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
        _notes(num_tests, options.settings, len(study.systems)) if len(study.systems) > 1 else [],
    )
    return Content([table], Breakdown(quantity.heading, rows, left_out(context) if options.slices is None else {}, overall))


def slice_forests(study: Study, slices: Breakdown) -> list[Chart]:
    return forests(study.names, slices)


def _notes(num_tests: int, settings: Settings, num_systems: int) -> list[str]:
    notes = [note_on_winners(f"the {num_tests} slices with utterances", num_systems)]
    needed = math.ceil(num_tests * (num_systems - 1) / LEVEL)
    if settings.num_resamples < needed:
        notes.append(f"{settings.num_resamples:,} trials cannot make any of {num_tests} slices significant: take --resamples {needed} or more.")
    return notes
