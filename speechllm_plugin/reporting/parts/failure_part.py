"""How the systems fail: edits, repetitions, lengths, languages, and words where nobody speaks."""

from speechllm_plugin.reporting.breakdown import Breakdown, Measured, measured
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.results import Settings
from speechllm_plugin.reporting.study import SILENCE, Study
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.comparison_table import comparison_table, note_on_winners
from speechllm_plugin.reporting.tables.table import Column
from speechllm_plugin.scoring import failures
from speechllm_plugin.scoring.share import share
from speechllm_plugin.text.language_identification import KnownLanguages


def failed(study: Study, known_languages: KnownLanguages, settings: Settings) -> Content:
    """The Breakdown of all failures, and of what is said on the silence set where all runs decoded it."""
    of_systems = [[failures.failures(run.hypotheses, study.utterances, known_languages) for run in system.runs] for system in study.systems]
    reasons = failures.left_out(known_languages)
    groups: dict[str, list[Measured]] = {}
    for each in measured(of_systems, settings):
        if each.measure.statistics[:, 1].any():
            groups.setdefault(each.measure.group.capitalize(), []).append(each)
        elif each.measure.group != SILENCE:  # that an ordinary test set has none goes without saying
            reasons[each.measure.name] = "it is out of nothing in this test set"
    lacking = [str(run.folder) for system in study.systems for run in system.runs if run.silence is None]
    if study.silence is None:
        reasons[SILENCE] = f"{study.data} has no {SILENCE}.tsv (speechllm silence makes one)"
    elif lacking:
        reasons[SILENCE] = f"{SILENCE}.tsv was not decoded into generate-{SILENCE}.txt in {', '.join(lacking)}"
    else:
        quiet = measured([[failures.hallucinations(run.silence, study.silence) for run in system.runs] for system in study.systems], settings)
        groups[f"Silence and noise ({len(study.silence):,} recordings without speech)"] = quiet
    notes = [note_on_winners("the rows of this table (those on silence apart)", len(study.systems))] if len(study.systems) > 1 else []
    explanations = {each.measure.heading: each.measure.explanation for group in groups.values() for each in group}
    table = comparison_table(
        "failures",
        f"Failures in percent, {study.split}",
        study.names,
        [Column("failure", is_text=True), Column("out of"), Column("references")],
        [(heading, [(_labels(each), each.result) for each in group]) for heading, group in groups.items()],
        [*notes, "References: what the same count finds in the references."],
        [f"{heading}: {text}" for heading, text in explanations.items()],
    )
    rows = {heading: [each.row for each in group] for heading, group in groups.items()}
    return Content([table], Breakdown("percent", rows, reasons, None))


def _labels(each: Measured) -> list[str]:
    """The cells before the numbers: the failure, out of how many, and what the same count finds in the references."""
    statistics = each.measure.of_references
    of_references = formats.NO_VALUE if statistics is None else formats.number(float(share(statistics.sum(axis=0))))
    return [each.measure.heading, each.out_of, of_references]
