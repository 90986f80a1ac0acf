"""The scores of the systems on the whole test set, and the means over languages."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.results import Quantity, Result, Settings, evaluate, mean_over, of_metric
from speechllm_plugin.reporting.study import Study, System
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.comparison_table import MOST_SIDE_BY_SIDE, comparison_table, note_on_winners, with_arrow
from speechllm_plugin.reporting.tables.table import Column, Section, Table
from speechllm_plugin.scoring.metrics import Metric
from speechllm_plugin.scoring.score_table import EMPTY_REFERENCES

LANGUAGE_COLUMNS = ("tgt_lang", "src_lang")


class Scores(NamedTuple):
    """The Results of all metrics.

    metrics:         the first one is that of the slices and of the utterances.
    quantities:      of each metric.
    results:         of each metric, on all sentences.
    language_column: tgt_lang or src_lang, whichever has several languages; "" where neither has.
    languages:       language -> (N,) bool, its rows; empty where there is one language.
    means:           of each metric, over the languages; empty where there is one language.
    """

    metrics: list[Metric]
    quantities: list[Quantity]
    results: list[Result]
    language_column: str
    languages: dict[str, np.ndarray]
    means: list[Result]

    @property
    def main(self) -> Quantity:
        return self.quantities[0]


def scored(study: Study, metrics: Sequence[Metric], settings: Settings) -> Content:
    """The Scores and their table.

    Raises:
        ValueError: no reference has any text, or none that a metric counts.
    """
    if not any(text.strip() for text in study.references):
        raise ValueError(f"{study.data / study.split}.tsv: a report needs reference text, but all {len(study.utterances)} tgt_text are empty")
    hypotheses = [[run.hypotheses for run in system.runs] for system in study.systems]
    quantities = [of_metric(metric, hypotheses, study.references, study.languages) for metric in metrics]
    for quantity in quantities:
        if np.isnan(quantity.formula(quantity.statistics[0].sum(1))).any():
            raise ValueError(
                f"{study.data / study.split}.tsv: {quantity.heading} has no value, as normalisation leaves no text of the references (tgt_text); "
                "correct them or give other --metrics"
            )
    column, languages = _languages(study.utterances)
    means = evaluate([mean_over(list(languages.values()), quantity) for quantity in quantities], settings) if languages else []
    scores = Scores(list(metrics), quantities, evaluate(quantities, settings), column, languages, means)
    return Content([_table(study, scores)], scores)


def _languages(utterances: Sequence[Utterance]) -> tuple[str, dict[str, np.ndarray]]:
    """The first column that has several languages, and the rows of each that has reference text; ("", {}) for fewer than two."""
    for column in LANGUAGE_COLUMNS:
        values = np.array([getattr(utterance, column) for utterance in utterances], dtype=object)
        if len(set(values)) > 1:
            rows = {value: values == value for value in sorted(set(values))}
            rows = {value: mask for value, mask in rows.items() if any(utterances[row].tgt_text.strip() for row in np.flatnonzero(mask).tolist())}
            return column, rows if len(rows) > 1 else {}
    return "", {}


def _table(study: Study, scores: Scores) -> Table:
    """Metrics by systems, and the systems' numbers of parameters."""
    names = study.names
    rows = [([with_arrow(result.quantity)], result) for result in scores.results]
    sections = [("", rows)]
    if scores.means:
        means = [([with_arrow(result.quantity)], result) for result in scores.means]
        sections = [("All sentences", rows), (f"Mean over {len(scores.languages)} languages", means)]
    family = "the metrics" + (", for all sentences and for the means apart" if scores.means else "")
    notes = []
    if len(names) > 1:
        notes = [
            note_on_winners(family, len(names)),
            "In %: of the other system's score. p random.: paired approximate randomisation; p bootstrap: paired bootstrap.",
        ]
    num_empty = sum(not reference.strip() for reference in study.references)
    if num_empty:
        notes.append(EMPTY_REFERENCES.format(num_empty))
    table = comparison_table("scores", f"Scores on {study.split}", names, [Column("metric", is_text=True)], sections, notes, both_tests=True)
    parameters = [_parameters(system) for system in study.systems]
    if not any(parameters):
        return table
    numbers = [f"{number:,}" if number else formats.NO_VALUE for number in parameters]
    if len(names) > MOST_SIDE_BY_SIDE:
        rows_of_parameters = [["" if system else "Parameters", name, numbers[system]] for system, name in enumerate(names)]
    else:
        num_columns = sum(column.group == names[0] for column in table.columns)
        rows_of_parameters = [["Parameters", *(cell for number in numbers for cell in (number, *[""] * (num_columns - 1)))]]
    filled = [row + [""] * (len(table.columns) - len(row)) for row in rows_of_parameters]
    return replace(table, sections=[*table.sections, Section("", filled)])


def _parameters(system: System) -> int | None:
    """As the training logs say; None where none does, or where the seeds differ."""
    numbers = {run.training.num_parameters for run in system.runs if run.training} - {None}
    return numbers.pop() if len(numbers) == 1 else None
