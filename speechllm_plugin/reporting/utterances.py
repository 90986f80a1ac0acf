"""The utterances worth a look: where each system loses most, where two differ most, and how their words differ from the reference."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.recording import COLUMN as RECORDING
from speechllm_plugin.reporting.results import Quantity, loss_of_sentences
from speechllm_plugin.reporting.runs import Study
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.text.normalisation import normalise
from speechllm_plugin.text.word_alignment import CORRECT, DELETION, INSERTION, SUBSTITUTION, align

# Columns that are told otherwise, or say nothing to a reader.
NOT_SHOWN = {RECORDING}


class Word(NamedTuple):
    """One step of the alignment with the reference: operation of scoring.alignment; a text is empty where its side has no word."""

    operation: str
    reference: str
    hypothesis: str


class Line(NamedTuple):
    """One system's output: the words, what differs in words ("2 substitutions, 1 deletion"), and its score, if a sentence has one."""

    system: str
    words: list[Word]
    edits: str
    score: str


class Example(NamedTuple):
    """A chosen utterance. facts: (name, value) to show."""

    row: int
    utterance: Utterance
    reason: str
    facts: list[tuple[str, str]]
    lines: list[Line]


def rows_of_ids(ids: Sequence[str], utterances: Sequence[Utterance]) -> list[int]:
    """The rows of utterances that are chosen by id.

    Raises:
        ValueError: the manifest has no such id.
    """
    row_of = {utterance.id: row for row, utterance in enumerate(utterances)}
    for name in ids:
        if name not in row_of:
            raise ValueError(f"--utterances must be ids of the manifest, but there is no {name!r} (ids are like {utterances[0].id!r}); correct it")
    return [row_of[name] for name in dict.fromkeys(ids)]


def choose(study: Study, quantity: Quantity, number: int, chosen: Sequence[int]) -> dict[int, str]:
    """Row -> why it is shown; those that were chosen first, then as many as `number` asks for.

    These are taken in turn from lists, each from its worst utterance on: the greatest losses of each system, and where the first system loses
    more than another one, and less. The loss of an utterance is by how much the score of the corpus would be better without it.
    """
    reasons = dict.fromkeys(chosen, "chosen")
    names, losses = study.names, [loss_of_sentences(quantity, system) for system in range(len(study.systems))]
    lists = [(loss, f"among the greatest losses of {name}") for name, loss in zip(names, losses)]
    for name, loss in zip(names[1:], losses[1:]):
        lists += [(losses[0] - loss, f"{names[0]} loses more than {name}"), (loss - losses[0], f"{name} loses more than {names[0]}")]
    queues = [(iter(np.argsort(-loss, kind="stable")), loss, reason) for loss, reason in lists]
    while queues and len(reasons) < len(chosen) + number:
        for queue in list(queues):
            rows, loss, reason = queue
            row = next((int(row) for row in rows if int(row) not in reasons), None)
            if row is None or not loss[row] > 0:
                queues.remove(queue)
            elif len(reasons) < len(chosen) + number:
                reasons[row] = f"{reason}: {formats.number(float(loss[row]), 3)} points of {quantity.heading}"
    return reasons


def examples(study: Study, quantity: Quantity, reasons: dict[int, str], exactly: bool) -> list[Example]:
    """The Examples of rows, with the outputs of each system's first seed.

    Args:
        exactly: words must be equal as they are written; else case and punctuation do not count.
    """
    seconds, found = study.durations, []
    for row, reason in reasons.items():
        utterance, lines = study.utterances[row], []
        for system, statistics in zip(study.systems, quantity.statistics):
            words = aligned(utterance.tgt_text, system.runs[0].hypotheses[row], utterance.tgt_lang, exactly)
            lines.append(Line(system.name, words, edits_of(words), formats.number(float(quantity.formula(statistics[0, row])), 1)))
        found.append(Example(row, utterance, reason, _facts(utterance, seconds[row]), lines))
    return found


def aligned(reference: str, hypothesis: str, language: str, exactly: bool) -> list[Word]:
    """The words of both texts as they are written, in one order."""
    references, hypotheses = reference.split(), hypothesis.split()
    keys = (references, hypotheses) if exactly else ([normalise(word, language) or word for word in words] for words in (references, hypotheses))
    return [
        Word(operation, "" if one is None else references[one], "" if other is None else hypotheses[other]) for operation, one, other in align(*keys)
    ]


def edits_of(words: Sequence[Word]) -> str:
    counted = Counter(word.operation for word in words)
    wrong = [(counted[operation], operation) for operation in (SUBSTITUTION, DELETION, INSERTION) if counted[operation]]
    parts = [f"{number} {operation}{'s' if number > 1 else ''}" for number, operation in wrong]
    return ", ".join(parts) if parts else ("all words correct" if counted[CORRECT] else "empty, as the reference")


def _facts(utterance, seconds):
    facts = [("duration", formats.duration(float(seconds))), ("speaker", utterance.speaker)]
    is_one = utterance.src_lang == utterance.tgt_lang
    facts += [("language", utterance.src_lang)] if is_one else [("from", utterance.src_lang), ("into", utterance.tgt_lang)]
    facts += [(column, value) for column, value in utterance.extra.items() if column not in NOT_SHOWN and not column.startswith("kd_text")]
    return [(name, value) for name, value in facts if value]
