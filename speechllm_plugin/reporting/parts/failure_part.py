"""How the systems fail: edits, repetitions, lengths, silence, languages."""

from speechllm_plugin.reporting.part import Measured, Part, measured
from speechllm_plugin.reporting.results import Settings
from speechllm_plugin.reporting.runs import SILENCE, Study
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.comparison_table import comparison_table, note_on_winners
from speechllm_plugin.reporting.tables.table import Column
from speechllm_plugin.scoring import failures
from speechllm_plugin.scoring.share import share
from speechllm_plugin.text.language_identification import KnownLanguages


def failed(study: Study, known: KnownLanguages, settings: Settings) -> Part:
    """The Part of all failures, and of what is said on the silence set where all runs decoded it."""
    everything = measured([[failures.failures(run.hypotheses, study.utterances, known) for run in system.runs] for system in study.systems], settings)
    reasons, groups = failures.left_out(known), {}
    for each in everything:
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
    return Part({heading: [each.row for each in group] for heading, group in groups.items()}, table, reasons)


def _labels(each: Measured) -> list[str]:
    statistics = each.measure.of_references
    of_references = formats.NONE if statistics is None else formats.number(float(share(statistics.sum(axis=0))))
    return [each.measure.heading, each.out_of, of_references]
