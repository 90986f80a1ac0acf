"""The scores of the systems on the whole test set: which metrics, their results, by language."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.reporting.results import Quantity, Result, Settings, evaluate, mean_over, of_metric
from speechllm_plugin.reporting.runs import Study
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.comparison_table import ARROW, comparison_table, note_on_winners
from speechllm_plugin.reporting.tables.table import Cell, Column, Section, Table
from speechllm_plugin.scoring import comet
from speechllm_plugin.scoring.metrics import METRICS, Metric
from speechllm_plugin.scoring.score_table import EMPTY_REFERENCES

RECOGNITION = ("wer_normalised", "wer", "cer_normalised", "cer")
TRANSLATION = ("bleu", "chrf", "ter")
COMET = "comet"
LANGUAGE_COLUMNS = ("tgt_lang", "src_lang")


class Scores(NamedTuple):
    """metrics: the first one is that of the slices and of the utterances. by_language and means are empty where there is one language."""

    metrics: list[Metric]
    quantities: list[Quantity]
    results: list[Result]
    language_column: str
    by_language: list[dict[str, Result]]  # of each metric
    means: list[Result]

    @property
    def main(self) -> Quantity:
        return self.quantities[0]


def is_recognition(utterances: Sequence[Utterance]) -> bool:
    """Whether most references are in the language of the speech, or are the transcript."""
    same = [
        utterance.src_lang == utterance.tgt_lang
        if utterance.src_lang and utterance.tgt_lang
        else bool(utterance.tgt_text) and utterance.src_text == utterance.tgt_text
        for utterance in utterances
    ]
    return sum(same) > len(same) / 2


def metrics_named(names: Sequence[str] | None, utterances: Sequence[Utterance]) -> list[Metric]:
    """The named METRICS (or comet), else those of the task.

    Raises:
        ValueError: comet is named and not installed.
    """
    names = names or (RECOGNITION if is_recognition(utterances) else TRANSLATION)
    return [METRICS[name] if name != COMET else comet.metric([utterance.src_text for utterance in utterances]) for name in dict.fromkeys(names)]


def score(study: Study, metrics: Sequence[Metric], settings: Settings) -> Scores:
    """Scores on the whole set and by language.

    Raises:
        ValueError: no reference has any text.
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
    by_language, means = [], []
    if len(languages) > 1:
        for quantity in quantities:
            results = evaluate([quantity.of_rows(quantity.heading, rows) for rows in languages.values()], settings)
            by_language.append(dict(zip(languages, results)))
        means = evaluate([mean_over(list(languages.values()), quantity) for quantity in quantities], settings)
    return Scores(list(metrics), quantities, evaluate(quantities, settings), column, by_language, means)


def summary_table(study: Study, scores: Scores) -> Table:
    """Metrics by systems, and their parameters."""
    names = study.names
    rows = [([_with_arrow(result)], result) for result in scores.results]
    sections = [("", rows)]
    if scores.means:
        means = [([_with_arrow(result)], result) for result in scores.means]
        sections = [("All sentences", rows), (f"Mean over {len(scores.by_language[0])} languages", means)]
    family = "the metrics" + (", for all sentences and for the means apart" if scores.means else "")
    notes = (
        [note_on_winners(family, len(names)), "p random.: paired approximate randomisation; p bootstrap: paired bootstrap."] if len(names) > 1 else []
    )
    table = comparison_table("scores", f"Scores on {study.split}", names, [Column("metric", is_text=True)], sections, notes, both_tests=True)
    num_empty = sum(not reference.strip() for reference in study.references)
    if num_empty:
        table = replace(table, notes=[*table.notes, EMPTY_REFERENCES.format(num_empty)])
    parameters = [_parameters(system) for system in study.systems]
    if any(parameters):
        size = sum(column.group == names[0] for column in table.columns)
        row = ["Parameters"]
        for number in parameters:
            row += [Cell(f"{number:,}" if number else formats.NONE)] + [""] * (size - 1)
        row += [""] * (len(table.columns) - len(row))
        table = replace(table, sections=[*table.sections, Section("", [row])])
    return table


def language_table(study: Study, scores: Scores) -> Table | None:
    """The scores of every language; None where there is one."""
    if not scores.by_language:
        return None
    sections = []
    for metric, results in zip(scores.metrics, scores.by_language):
        rows = [([language or "(empty)", f"{result.quantity.num_rows:,}"], result) for language, result in results.items()]
        sections.append((f"{metric.heading} {ARROW[metric.lower_is_better]}", rows))
    labels = [Column(scores.language_column, is_text=True), Column("n")]
    notes = [note_on_winners("the languages, for each metric apart", len(study.names))]
    return comparison_table("languages", f"Scores by {scores.language_column}", study.names, labels, sections, notes)


def _with_arrow(result):
    return f"{result.quantity.heading} {ARROW[result.quantity.lower_is_better]}"


def _parameters(system):
    numbers = {run.training.num_parameters for run in system.runs if run.training} - {None}
    return numbers.pop() if len(numbers) == 1 else None


def _languages(utterances):
    """The first column that has several languages, and the rows of each that has reference text; ("", {}) for one language."""
    for column in LANGUAGE_COLUMNS:
        values = np.array([getattr(utterance, column) for utterance in utterances], dtype=object)
        if len(set(values)) > 1:
            rows = {value: values == value for value in sorted(set(values))}
            return column, {value: mask for value, mask in rows.items() if any(utterances[row].tgt_text.strip() for row in np.flatnonzero(mask))}
    return "", {}
