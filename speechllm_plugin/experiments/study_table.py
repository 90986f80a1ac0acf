"""OUT/table.md: what a study has finished, shaped like the paper's Table 1, with the paper's figures beside the measured ones."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from speechllm_plugin.experiments import paper_figures, score_files
from speechllm_plugin.files import json_file, text_table
from speechllm_plugin.outputs import logs
from speechllm_plugin.preparation.corpora import CORPORA
from speechllm_plugin.scoring.group_mean import mean_of_groups

METRIC_HEADINGS = {"wer_normalised": "WER", "bleu": "BLEU", "chrf": "chrF"}
NO_SCORE = "–"


class Column(NamedTuple):
    """A metric on a split of the experiments in a folder.

    folder: below that of the study, as mustc/st-en-de.
    paper: the place of the paper's figure in its rows; None where the paper has none.
    """

    folder: str
    split: str
    metric: str
    paper: int | None

    @property
    def corpus(self) -> str:
        return self.folder.partition("/")[0]

    @property
    def heading(self) -> str:
        task, _, languages = self.folder.partition("/")[2].partition("-")
        task = "joint asr" if self.split.endswith("_asr") else task
        return f"{CORPORA[self.corpus].title} {task} {languages} {METRIC_HEADINGS[self.metric]}"


class Study(NamedTuple):
    """What a table is made of.

    out: the folder of the study.
    models: names of model files, one a row.
    own_settings: name of the training file; None: the paper's settings.
    """

    out: Path
    models: Sequence[str]
    seeds: Sequence[str]
    own_settings: str | None

    def folders(self, column: Column, model: str) -> list[Path]:
        """Those of a model's seeds."""
        return [self.out / column.folder / f"{model}-seed{seed}" for seed in self.seeds]


def columns_of(study: Study) -> list[Column]:
    """What the finished experiments can fill, recognition first."""
    translation_metrics = ("bleu", "chrf") if study.own_settings is not None else ("bleu",)
    columns = []
    for folder in sorted({path.parents[1] for path in study.out.glob("*/*-*-*/*-seed*/score-*.json")}):
        corpus, (task, languages) = folder.parts[-2], folder.name.split("-", 1)
        split, paper = CORPORA[corpus].test_split, paper_figures.column_of(corpus, task, languages)
        name = f"{corpus}/{folder.name}"
        if task in ("asr", "joint"):
            columns.append(Column(name, split if task == "asr" else f"{split}_asr", "wer_normalised", paper))
        if task in ("st", "joint"):
            columns += [Column(name, split, metric, paper) for metric in translation_metrics]
    return sorted(columns, key=lambda column: column.metric != "wer_normalised")


def reports_of(study: Study, column: Column, models: Sequence[str]) -> list[dict[str, Any]]:
    """What `speechllm score` has written of some models."""
    paths = [folder / f"score-{column.split}.json" for model in models for folder in study.folders(column, model)]
    return [json_file.read_object(path, {"metrics": dict}, remedy="score again") for path in paths if path.exists()]


def score_of(report: Mapping[str, Any], column: Column) -> float:
    """The score of one experiment: of a multilingual one the mean over its languages, or over those that the paper reports."""
    values, reported = report.get("values", {}), paper_figures.REPORTED_LANGUAGES.get(column.corpus, ())
    if report.get("by") in ("src_lang", "tgt_lang") and reported and set(reported) <= set(values):
        return mean_of_groups([values[language]["metrics"][column.metric]["score"] for language in reported])
    return (report.get("mean") or report["metrics"])[column.metric]["score"]


def cell(study: Study, model: str, column: Column, row: str | None) -> str:
    """`measured ± deviation over seeds (paper's)`."""
    reports = reports_of(study, column, [model])
    newest = score_files.newest_normaliser(reports_of(study, column, study.models))
    if any(score_files.is_outdated(report["metrics"][column.metric], newest) for report in reports):
        return score_files.OUTDATED
    scores = [score_of(report, column) for report in reports]
    measured = f"{statistics.mean(scores):.1f}" if scores else NO_SCORE
    measured += f" ± {statistics.stdev(scores):.1f}" if len(scores) > 1 else ""
    figures = paper_figures.PAPER_SCORES.get(row) if row else None
    figure = figures[column.paper] if figures and column.paper is not None else None
    return measured if figure is None else f"{measured} ({figure})"


def sentences_per_second(study: Study, model: str, column: Column) -> float | None:
    """The median over the seeds, or None."""
    decodings = [logs.read_decoding(folder / f"generate-{column.split}.log") for folder in study.folders(column, model)]
    speeds = [decoding.sentences_per_second for decoding in decodings if decoding and decoding.sentences_per_second]
    return statistics.median(speeds) if speeds else None


def parameters(study: Study, model: str, column: Column) -> str:
    for path in sorted(study.out.glob(f"{column.folder}/{model}-seed*/train.log")):
        training = logs.read_training(path)
        if training and training.num_parameters:
            return f"{training.num_parameters:,}"
    return NO_SCORE


def notes(study: Study, columns: Sequence[Column]) -> list[str]:
    reported = {
        column.corpus: paper_figures.REPORTED_LANGUAGES[column.corpus] for column in columns if column.corpus in paper_figures.REPORTED_LANGUAGES
    }
    of_some = "".join(f" ({CORPORA[corpus].title}: {', '.join(languages)})" for corpus, languages in reported.items())
    lines = [
        f"WER after removing punctuation; of multilingual models the mean over languages{of_some}.",
        f"Seeds: {', '.join(study.seeds)}" + ("; mean ± standard deviation." if len(study.seeds) > 1 else "."),
        "Decoding speed: sentences per second of fairseq-generate relative to row 1, on whatever else the machine did.",
    ]
    if study.own_settings is None:
        return [*lines, "In brackets: the figures of Lam et al. 2025."]
    first = f"Trained with {study.own_settings}, not with the paper's settings: the paper's figures are not comparable and left out."
    return [first, *lines]


def table(study: Study) -> list[str]:
    """The lines of table.md.

    Raises:
        ValueError: nothing has been scored.
    """
    columns = columns_of(study)
    if not columns:
        raise ValueError(f"{study.out}: no experiment has been scored yet")
    last = columns[-1]
    speeds = {model: sentences_per_second(study, model, last) for model in study.models}
    base = next((speeds[model] for model in study.models if model.startswith("row1_")), None)
    headings = ["row", f"parameters ({last.folder})", *(column.heading for column in columns), f"decoding speed ({last.folder})"]
    rows = []
    for model in study.models:
        row = paper_figures.row_of(model) if study.own_settings is None else None
        measured = speeds[model]
        speed = f"{measured / base:.2f}" if base and measured else NO_SCORE
        speed += f" ({paper_figures.PAPER_SPEEDS[row]})" if row in paper_figures.PAPER_SPEEDS else ""
        rows.append([model, parameters(study, model, last), *(cell(study, model, column, row) for column in columns), speed])
    outdated = [score_files.NOTE] if any(score_files.OUTDATED in row for row in rows) else []
    return [*text_table.markdown(headings, rows), "", *(f"* {note}" for note in [*notes(study, columns), *outdated])]


def write(study: Study) -> None:
    """Write table.md and print it, with its path."""
    lines, path = table(study), study.out / "table.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(*lines, f"\n{path}", sep="\n")
