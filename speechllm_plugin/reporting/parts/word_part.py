"""How many of the reference's words the systems find, by how often the training targets have them."""

from speechllm_plugin.reporting.breakdown import Breakdown, measured
from speechllm_plugin.reporting.figures.forest import forests
from speechllm_plugin.reporting.figures.svg import Chart
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables.comparison_table import comparison_table, note_on_winners
from speechllm_plugin.reporting.tables.table import Column, Section, Table
from speechllm_plugin.scoring.slices import Context
from speechllm_plugin.scoring.words import unseen_words, word_recall

_FOUND = {True: "that the minimal word alignment pairs with themselves", False: "that also stand in the output, wherever"}
_EXPLANATION = {
    by_alignment: f"Recall: of the reference's words with this frequency in the training targets, those {found}. Words are normalised."
    for by_alignment, found in _FOUND.items()
}


def words(study: Study, context: Context, options: Options) -> Content:
    """The Breakdown of the recall of words, and a table of those that training lacks, unless the options leave it out.

    There are no numbers where the training targets are not known.
    """
    if context.target_counts is None:
        return Content()
    texts = (study.references, context.target_counts, study.languages, study.is_recognition)
    bands = measured([[word_recall(run.hypotheses, *texts) for run in system.runs] for system in study.systems], options.settings)
    table = comparison_table(
        "words",
        f"Recall of the reference's words in percent, {study.split}",
        study.names,
        [Column("words of the reference", is_text=True), Column("n words")],
        [("", [([band.measure.heading, band.out_of], band.result) for band in bands])],
        [*([note_on_winners("the rows of this table", len(study.systems))] if len(study.systems) > 1 else []), _EXPLANATION[study.is_recognition]],
    )
    overall = bands[-1].result if len(study.systems) == 1 else None  # the last band is of all words
    recall = Breakdown("recall", {"Recall of words": [band.row for band in bands]}, {}, overall)
    return Content([table, *([_unseen_table(study, context)] if options.with_words else [])], recall)


def word_forests(study: Study, recall: Breakdown | None) -> list[Chart]:
    return [] if recall is None else forests(study.names, recall)


def _unseen_table(study: Study, context: Context) -> Table:
    """Every word of the references that the training targets lack, and how often each system has it (mean over its seeds)."""
    texts = (study.references, context.target_counts, study.languages, study.is_recognition)
    found = [[unseen_words(run.hypotheses, *texts) for run in system.runs] for system in study.systems]
    rows = []
    for number, (word, occurrences, _) in enumerate(found[0][0]):
        hits = [sum(words_of_run[number][2] for words_of_run in seeds) / len(seeds) for seeds in found]
        rows.append([word, f"{occurrences:,}", *(f"{each:,.0f}" if each == int(each) else f"{each:,.1f}" for each in hits)])
    columns = [Column("word", is_text=True), Column("in references"), *(Column(name, "found by") for name in study.names)]
    return Table("unseen_words", f"Words of {study.split} that the training targets lack", columns, [Section("", rows)])
