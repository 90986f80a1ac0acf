"""Utterances to look at: how the systems' words differ from the reference, and the sound."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.recording import RECORDING_COLUMN
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.parts import sound
from speechllm_plugin.reporting.parts.score_part import Scores
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.text.normalisation import normalise
from speechllm_plugin.text.word_alignment import CORRECT, DELETION, INSERTION, SUBSTITUTION, align

NOT_SHOWN = {RECORDING_COLUMN}  # columns of the manifest that say nothing to a reader
EXACT_METRICS = ("wer", "cer", "ter")  # those that compare words as they are written


class Word(NamedTuple):
    """One step of the alignment with the reference.

    operation:  of text.word_alignment.
    reference:  "" where the reference has no word; likewise hypothesis.
    """

    operation: str
    reference: str
    hypothesis: str


class Line(NamedTuple):
    """One system's output for one utterance.

    words: aligned with the reference.
    edits: `2 substitutions, 1 deletion`.
    score: a dash where the metric has none for a single sentence.
    """

    system: str
    words: list[Word]
    edits: str
    score: str


class Example(NamedTuple):
    """One utterance that is shown.

    row:    in the manifest.
    reason: why it is shown.
    facts:  (name, value) of what the manifest says about it.
    lines:  of each system's first seed.
    """

    row: int
    utterance: Utterance
    reason: str
    facts: list[tuple[str, str]]
    lines: list[Line]


class Examples(NamedTuple):
    """All utterances that are shown.

    heading: of the metric that scores their lines.
    sounds:  row -> (data URI, why there is none); both empty where none is wanted.
    """

    heading: str
    examples: list[Example]
    sounds: dict[int, tuple[str, str]]


def utterances(study: Study, scores: Scores, example_rows: dict[int, str], options: Options) -> Content:
    """The Examples of rows that were chosen for a reason, scored by the main metric."""
    seconds, examples = study.durations, []
    for row, reason in example_rows.items():
        utterance = study.utterances[row]
        examples.append(Example(row, utterance, reason, _facts(utterance, float(seconds[row])), _lines(study, scores, row)))
    sounds = dict.fromkeys(example_rows, ("", ""))
    if options.with_audio:
        config = _config(study.data)
        sounds = {row: sound.data_uri(study.utterances[row], config) for row in example_rows}
    return Content(numbers=Examples(scores.main.heading, examples, sounds))


def _lines(study: Study, scores: Scores, row: int) -> list[Line]:
    utterance, lines = study.utterances[row], []
    for system, statistics in zip(study.systems, scores.main.statistics):
        hypothesis, exactly = system.runs[0].hypotheses[row], scores.metrics[0].name in EXACT_METRICS
        words = aligned(utterance.tgt_text, hypothesis, utterance.tgt_lang, exactly)
        lines.append(Line(system.name, words, edits_of(words), formats.number(float(scores.main.formula(statistics[0, row])), 1)))
    return lines


def aligned(reference: str, hypothesis: str, language: str, exactly: bool) -> list[Word]:
    """The words of both texts in one order, each as it is written.

    Args:
        exactly: words must be equal as they are written; else case and punctuation do not count.
    """
    references, hypotheses = reference.split(), hypothesis.split()
    keys = (references, hypotheses) if exactly else ([normalise(word, language) or word for word in words] for words in (references, hypotheses))
    return [
        Word(operation, "" if one is None else references[one], "" if other is None else hypotheses[other]) for operation, one, other in align(*keys)
    ]


def edits_of(words: Sequence[Word]) -> str:
    """`2 substitutions, 1 deletion`."""
    counted = Counter(word.operation for word in words)
    wrong = [(counted[operation], operation) for operation in (SUBSTITUTION, DELETION, INSERTION) if counted[operation]]
    parts = [f"{number} {operation}{'s' if number > 1 else ''}" for number, operation in wrong]
    return ", ".join(parts) if parts else ("all words correct" if counted[CORRECT] else "empty, as the reference")


def _facts(utterance: Utterance, seconds: float) -> list[tuple[str, str]]:
    facts = [("duration", formats.duration(seconds)), ("speaker", utterance.speaker)]
    is_one = utterance.src_lang == utterance.tgt_lang
    facts += [("language", utterance.src_lang)] if is_one else [("from", utterance.src_lang), ("into", utterance.tgt_lang)]
    facts += [(column, value) for column, value in utterance.extra.items() if column not in NOT_SHOWN and not column.startswith("kd_text")]
    return [(name, value) for name, value in facts if value]


def _config(data: Path) -> DataConfig | None:
    path = data / "config.yaml"
    return DataConfig.load(path) if path.is_file() else None
