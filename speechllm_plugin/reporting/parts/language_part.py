"""The scores of each language."""

from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.parts.score_part import Scores
from speechllm_plugin.reporting.results import Settings, evaluate
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables.comparison_table import comparison_table, note_on_winners, with_arrow
from speechllm_plugin.reporting.tables.table import Column


def by_language(study: Study, scores: Scores, settings: Settings) -> Content | None:
    """Of each metric, language -> Result; None where there is one language. Holm's correction is over the languages, for each metric apart."""
    if not scores.languages:
        return None
    found, sections = [], []
    for quantity in scores.quantities:
        results = evaluate([quantity.of_rows(quantity.heading, rows) for rows in scores.languages.values()], settings)
        found.append(dict(zip(scores.languages, results)))
        rows = [([language or "(empty)", f"{result.quantity.num_rows:,}"], result) for language, result in found[-1].items()]
        sections.append((with_arrow(quantity), rows))
    labels = [Column(scores.language_column, is_text=True), Column("n")]
    notes = [note_on_winners("the languages, for each metric apart", len(study.names))]
    return Content([comparison_table("languages", f"Scores by {scores.language_column}", study.names, labels, sections, notes)], found)
