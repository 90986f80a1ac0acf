"""A whole study from runs to everything that a report shows, in the order in which the parts need one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechllm_plugin.data import manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.reporting import sound
from speechllm_plugin.reporting.durations import Bin, by_duration, duration_table
from speechllm_plugin.reporting.inspections import Inspections, inspected
from speechllm_plugin.reporting.part import Part
from speechllm_plugin.reporting.parts.failure_part import failed
from speechllm_plugin.reporting.parts.slice_part import sliced
from speechllm_plugin.reporting.parts.speed_part import speed_table
from speechllm_plugin.reporting.parts.word_part import unseen_table, words
from speechllm_plugin.reporting.results import Settings
from speechllm_plugin.reporting.runs import Study
from speechllm_plugin.reporting.scores import Scores, is_recognition, language_table, metrics_named, score, summary_table
from speechllm_plugin.reporting.tables.table import Table
from speechllm_plugin.reporting.utterances import Example, choose, examples, rows_of_ids
from speechllm_plugin.scoring.slices import Context, join_speakers, read_native
from speechllm_plugin.scoring.words import word_counts
from speechllm_plugin.text.language_identification import learn

# Whose words are compared as they are written.
EXACT_METRICS = ("wer", "cer", "ter")
MOST_PICTURES = 3  # utterances whose attention is drawn, if none were chosen


@dataclass(frozen=True)
class Options:
    """What a report shows; None leaves the choice to the data."""

    metrics: Sequence[str] | None = None
    slices: Sequence[str] | None = None
    speakers: Path | None = None
    native: Path | None = None
    settings: Settings = Settings()
    num_examples: int = 6
    utterances: Sequence[str] = ()
    with_audio: bool = True
    with_checkpoints: bool = True
    device: str = "cpu"


@dataclass(frozen=True)
class Analysis:
    """Everything that a report shows. sounds: row of an example -> (data URI, why there is none); both empty where none is wanted."""

    study: Study
    scores: Scores
    bins: list[Bin]
    slices: Part
    words: Part | None
    unseen: Table | None
    failures: Part
    inspections: Inspections
    picture_rows: list[int]
    examples: list[Example]
    sounds: dict[int, tuple[str, str]]
    by_alignment: bool

    @property
    def tables(self) -> list[Table]:
        found = [
            summary_table(self.study, self.scores),
            language_table(self.study, self.scores),
            duration_table(self.study, self.scores.main, self.bins),
            self.slices.table,
            self.words and self.words.table,
            self.unseen,
            self.failures.table,
            speed_table(self.study),
        ]
        return [table for table in found if table]


def analyse(study: Study, options: Options) -> Analysis:
    """The Analysis of a study.

    Raises:
        ValueError: an option does not fit the data: an unknown metric, slice or utterance, a table of speakers that lacks some ...
    """
    if options.speakers is not None:
        study = study._replace(utterances=join_speakers(study.utterances, options.speakers))
    native = read_native(options.native) if options.native is not None else read_native()
    chosen = rows_of_ids(options.utterances, study.utterances)
    scores = score(study, metrics_named(options.metrics, study.utterances), options.settings)
    reasons = choose(study, scores.main, options.num_examples, chosen)
    picture_rows = chosen or list(reasons)[:MOST_PICTURES]
    inspections = inspected(study, picture_rows, options.device, options.with_checkpoints)
    training, by_alignment = _training(study.data), is_recognition(study.utterances)
    context = Context(
        study.utterances,
        transcript_counts=_counts([(utterance.src_text, utterance.src_lang) for utterance in training]),
        target_counts=_counts([(utterance.tgt_text, utterance.tgt_lang) for utterance in training]),
        compression_rates=next(iter(inspections.compression_rates.values()), None),
        native=native,
    )
    settings, config = options.settings, _config(study.data)
    of_words = words(study, context, by_alignment, settings)
    return Analysis(
        study,
        scores,
        by_duration(scores.main, study.durations, settings),
        sliced(study, scores.results[0], context, options.slices, settings),
        of_words,
        of_words and unseen_table(study, context, by_alignment),
        failed(study, learn(study.utterances, training), settings),
        inspections,
        picture_rows,
        examples(study, scores.main, reasons, exactly=scores.metrics[0].name in EXACT_METRICS),
        {row: sound.data_uri(study.utterances[row], config) for row in reasons} if options.with_audio else dict.fromkeys(reasons, ("", "")),
        by_alignment,
    )


def _training(data: Path) -> list[Utterance]:
    """The training set's utterances; none where its manifest is not there."""
    path = data / "train.tsv"
    return manifest.read(path) if path.is_file() else []


def _counts(texts):
    """None where there are no texts at all."""
    texts = [(text, language) for text, language in texts if text.strip()]
    return word_counts(*zip(*texts)) if texts else None


def _config(data: Path) -> DataConfig | None:
    path = data / "config.yaml"
    return DataConfig.load(path) if path.is_file() else None
