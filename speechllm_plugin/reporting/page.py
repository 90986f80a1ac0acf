"""The page: what an Analysis holds, laid out by template.html. One file, which loads nothing from anywhere."""

from importlib.metadata import version
from pathlib import Path

from speechllm_plugin.reporting.analysis import Analysis
from speechllm_plugin.reporting.durations import duration_table
from speechllm_plugin.reporting.figures import charts
from speechllm_plugin.reporting.figures.forest import forests
from speechllm_plugin.reporting.figures.palette import LOOKS
from speechllm_plugin.reporting.inspections import attention_charts, compression_chart
from speechllm_plugin.reporting.parts.speed_part import missing_logs, speed_table
from speechllm_plugin.reporting.results import LEVEL, Settings
from speechllm_plugin.reporting.scores import language_table, summary_table
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.verdict import verdict

# Nothing may be loaded, sent or run; pictures and sounds come out of the page itself.
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
MOST_UNSEEN_WORDS = 60  # shown; --tables has all


def render(analysis: Analysis, title: str | None, settings: Settings, command: str) -> str:
    """The HTML of a report. title: None makes one of the systems' names; command: what made it, to be shown."""
    import jinja2

    folder = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    study, scores = analysis.study, analysis.scores
    return environment.get_template("template.html").render(
        title=title or f"{_names(study)} on {study.split}",
        policy=CONTENT_SECURITY_POLICY,
        style=(folder / "style.css").read_text(encoding="utf-8"),
        verdict=verdict(study, scores, analysis.slices),
        systems=list(zip(study.systems, LOOKS)),
        looks=dict(zip(study.names, LOOKS)),
        test_set=_test_set(study),
        analysis=analysis,
        summary=summary_table(study, scores),
        languages=language_table(study, scores),
        signatures=[(metric.heading, metric.signature(study.languages)) for metric in scores.metrics],
        training_charts=charts.training_curves(study.systems),
        missing_logs=missing_logs(study),
        duration_charts=[
            charts.score_by_duration(study.names, scores.main.heading, analysis.bins),
            charts.durations(study.durations),
        ],
        forests=forests(analysis.slices, scores.main.heading, study.names, scores.results[0]),
        word_forests=_word_forests(analysis),
        duration_table=duration_table(study, scores.main, analysis.bins),
        most_unseen_words=MOST_UNSEEN_WORDS,
        speed=speed_table(study),
        compression=compression_chart(study, analysis.inspections),
        pictures=[(study.utterances[row], attention_charts(study, analysis.inspections, row)) for row in analysis.picture_rows],
        settings=settings,
        level=LEVEL,
        num_seeds=len(study.systems[0].runs),
        version=version("speechllm_plugin"),
        command=command,
    )


def _names(study):
    first, *others = study.names
    return f"{first} against {formats.enumeration(others)}" if others else first


def _word_forests(analysis):
    if not (analysis.words and analysis.words.filled):
        return []
    names, [bands] = analysis.study.names, analysis.words.rows.values()
    return forests(analysis.words, "recall", names, bands[-1].result if len(names) == 1 else None)


def _test_set(study) -> list[tuple[str, str]]:
    """(name, value) of what is known about it."""
    utterances = study.utterances
    pairs = sorted({(utterance.src_lang, utterance.tgt_lang) for utterance in utterances} - {("", "")})
    shown = [one if one == other else f"{one or '?'} → {other or '?'}" for one, other in pairs]
    speakers = {utterance.speaker for utterance in utterances} - {""}
    facts = [("split", study.split), ("utterances", f"{len(utterances):,}"), ("speech", formats.duration(float(study.durations.sum())))]
    facts += [("languages" if len(shown) > 1 else "language", ", ".join(shown))] if shown else []
    facts += [("speakers", f"{len(speakers):,}")] if speakers else []
    return [*facts, ("data", str(study.data))]
