"""Failures of systems that an error rate does not tell apart: loops, empty outputs, wrong languages. Each is a Measure.

To add one, write a function from `Outputs` to its measures, and add it to FAILURES.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.scoring.measures import Measure, check_paired, counts, share
from speechllm_plugin.text.language_identification import KnownLanguages, learn
from speechllm_plugin.text.scripts import is_mostly_in_others
from speechllm_plugin.text.word_alignment import DELETION, INSERTION, SUBSTITUTION, align
from speechllm_plugin.text.word_splitting import words_of

__all__ = ["FAILURES", "Measure", "Outputs", "failures", "hallucinations", "left_out", "loops", "share"]

# A phrase of so many words at most, said so often without a pause, is a loop.
MAX_WORDS_OF_LOOP = 4
MIN_REPEATS_OF_LOOP = 3

WORDS_OF_NGRAM = 4

# Too long and too short: by this factor, and by so many words, as one word more is twice the length of a word.
LENGTH_FACTOR = 2
MIN_WORDS_OF_DIFFERENCE = 5


@dataclass(frozen=True)
class Outputs:
    """One system's outputs on a test set of N sentences: words are those of the normalised texts."""

    hypotheses: Sequence[str]
    references: Sequence[str]
    languages: Sequence[str]  # of the references
    hypothesis_words: Sequence[list[str]]
    reference_words: Sequence[list[str]]
    known: KnownLanguages

    @property
    def num_hypothesis_words(self) -> np.ndarray:
        return np.array([len(words) for words in self.hypothesis_words], dtype=np.float64)

    @property
    def num_reference_words(self) -> np.ndarray:
        return np.array([len(words) for words in self.reference_words], dtype=np.float64)


def failures(hypotheses: Sequence[str], utterances: Sequence[Utterance], known: KnownLanguages | None = None) -> list[Measure]:
    """The measures of all FAILURES, those of a group together; one that is out of nothing (no silent utterance, say) has the score nan.

    Args:
        hypotheses: N texts.
        utterances: the N rows of the manifest.
        known: of `language_identification.learn`, so that several systems share it; None: learnt from the utterances alone, which tells scripts only.

    Raises:
        ValueError: there are not as many hypotheses as utterances.
    """
    outputs = _outputs(hypotheses, utterances, learn(utterances) if known is None else known)
    return [measure for of_group in FAILURES for measure in of_group(outputs)]


def left_out(known: KnownLanguages) -> dict[str, str]:
    """Name -> reason of the measures that `failures` does not have."""
    return {"wrong_language": known.no_identifier} if known.identifier is None else {}


def hallucinations(hypotheses: Sequence[str], utterances: Sequence[Utterance]) -> list[Measure]:
    """The measures of words where nothing is said: of the utterances whose reference is empty, which in a set of silence are all.

    Args and errors as for `failures`.
    """
    return _hallucinations(_outputs(hypotheses, utterances, KnownLanguages({})))


def loops(words: Sequence[str]) -> set[tuple[str, ...]]:
    """The phrases that are repeated without a pause; `a b a b a b` and `b a b a b a` are the same one, which begins with its lesser words."""
    found = set()
    for length in range(1, MAX_WORDS_OF_LOOP + 1):
        num_equal = 0  # words so far that are those one phrase before
        for end in range(length, len(words)):
            num_equal = num_equal + 1 if words[end] == words[end - length] else 0
            if num_equal == (MIN_REPEATS_OF_LOOP - 1) * length:
                phrase = tuple(words[end - length + 1 : end + 1])
                rotations = [phrase[start:] + phrase[:start] for start in range(length)]
                # A phrase that is a repetition itself is the loop of its part.
                if len(set(rotations)) == length:
                    found.add(min(rotations))
    return found


def _outputs(hypotheses: Sequence[str], utterances: Sequence[Utterance], known: KnownLanguages) -> Outputs:
    check_paired(hypotheses=hypotheses, utterances=utterances)
    references, languages = [utterance.tgt_text for utterance in utterances], [utterance.tgt_lang for utterance in utterances]
    said, needed = ([words_of(text, language) for text, language in zip(texts, languages)] for texts in (hypotheses, references))
    return Outputs(hypotheses, references, languages, said, needed, known)


def _edits(outputs: Outputs) -> list[Measure]:
    operations = (INSERTION, DELETION, SUBSTITUTION)
    number = np.zeros((len(outputs.references), len(operations)))
    for row, (reference, hypothesis) in enumerate(zip(outputs.reference_words, outputs.hypothesis_words)):
        if reference != hypothesis:
            of_pairs = [pair.operation for pair in align(reference, hypothesis)]
            number[row] = [of_pairs.count(operation) for operation in operations]
    explanations = {
        INSERTION: "Words of the output that the reference does not have, per hundred words of the reference; also those after an empty one.",
        DELETION: "Words of the reference that the output leaves out, per hundred words of the reference.",
        SUBSTITUTION: "Words that stand for another word of the reference, per hundred words of the reference.",
    }
    return [
        Measure(
            f"{operation}s",
            f"{operation}s".capitalize(),
            "edits",
            counts(number[:, index], outputs.num_reference_words),
            True,
            explanations[operation],
        )
        for index, operation in enumerate(operations)
    ]


def _repetitions(outputs: Outputs) -> list[Measure]:
    has_loop = [not loops(hypothesis) <= loops(reference) for hypothesis, reference in zip(outputs.hypothesis_words, outputs.reference_words)]
    return [
        Measure(
            "loops",
            "Loops",
            "repetitions",
            counts(has_loop, np.ones(len(has_loop))),
            True,
            f"Outputs that say a phrase of 1 to {MAX_WORDS_OF_LOOP} words {MIN_REPEATS_OF_LOOP} times or more without a pause, "
            "and the reference does not.",
        ),
        Measure(
            "repeated_ngrams",
            f"Repeated {WORDS_OF_NGRAM}-grams",
            "repetitions",
            _repeated_ngrams(outputs.hypothesis_words),
            True,
            f"Sequences of {WORDS_OF_NGRAM} words that the same output has said before, out of all such sequences of the outputs.",
            _repeated_ngrams(outputs.reference_words),
        ),
    ]


def _repeated_ngrams(sentences: Sequence[Sequence[str]]) -> np.ndarray:
    statistics = np.zeros((len(sentences), 2))
    for row, words in enumerate(sentences):
        ngrams = list(zip(*(words[start:] for start in range(WORDS_OF_NGRAM))))
        statistics[row] = len(ngrams) - len(set(ngrams)), len(ngrams)
    return statistics


def _lengths(outputs: Outputs) -> list[Measure]:
    said, needed = outputs.num_hypothesis_words, outputs.num_reference_words
    has_words = needed > 0
    too_long = (said > LENGTH_FACTOR * needed) & (said - needed >= MIN_WORDS_OF_DIFFERENCE)
    too_short = (LENGTH_FACTOR * said < needed) & (needed - said >= MIN_WORDS_OF_DIFFERENCE)
    difference = f"the words of the reference, and {MIN_WORDS_OF_DIFFERENCE} or more words"
    return [
        Measure(name, heading, "lengths", counts(failed & has_words, has_words), True, explanation)
        for name, heading, failed, explanation in (
            ("empty", "Empty", said == 0, "Outputs without a word where the reference has words."),
            ("too_long", "Too long", too_long, f"Outputs of more than {LENGTH_FACTOR} times {difference} more."),
            ("too_short", "Too short", too_short, f"Outputs of less than 1/{LENGTH_FACTOR} of {difference} less, empty ones too."),
        )
    ]


def _hallucinations(outputs: Outputs) -> list[Measure]:
    is_silent = np.array([not reference.strip() for reference in outputs.references], dtype=bool)
    said = outputs.num_hypothesis_words * is_silent
    return [
        Measure(
            "hallucinating",
            "Hallucinating",
            "silence",
            counts(said > 0, is_silent),
            True,
            "Outputs with words where the reference is empty, out of all utterances with an empty reference.",
        ),
        Measure(
            "hallucinated_words",
            "Hallucinated words",
            "silence",
            counts(said, is_silent),
            True,
            "Words of the outputs where the reference is empty, per hundred utterances with an empty reference.",
        ),
    ]


def _languages(outputs: Outputs) -> list[Measure]:
    scripts = outputs.known.scripts
    of_known_script = np.array([language in scripts for language in outputs.languages], dtype=bool)
    measures = [
        Measure(
            "wrong_script",
            "Wrong script",
            "languages",
            counts(_in_another_script(outputs.hypotheses, outputs), of_known_script),
            True,
            "Outputs most of whose letters are of a script that the references of their language hardly have (Latin, Cyrillic, Han ...).",
            counts(_in_another_script(outputs.references, outputs), of_known_script),
        )
    ]
    identifier = outputs.known.identifier
    if identifier is not None:
        of_known_language = np.isin(np.array(outputs.languages, dtype=object), np.array(identifier.languages, dtype=object))
        measures.append(
            Measure(
                "wrong_language",
                "Wrong language",
                "languages",
                counts(identifier.in_another_language(outputs.hypotheses, outputs.languages), of_known_language),
                True,
                "Outputs that a classifier, trained on the letters of the training texts, finds to be in another language; what it finds of the "
                "references is its own error.",
                counts(identifier.in_another_language(outputs.references, outputs.languages), of_known_language),
            )
        )
    return measures


def _in_another_script(texts: Sequence[str], outputs: Outputs) -> np.ndarray:
    """(N,) bool: whether most letters of a text are of no script of its language."""
    scripts, failed = outputs.known.scripts, np.zeros(len(texts), dtype=bool)
    for row, (text, language) in enumerate(zip(texts, outputs.languages)):
        if language in scripts:
            failed[row] = is_mostly_in_others(text, scripts[language])
    return failed


FAILURES: tuple[Callable[[Outputs], list[Measure]], ...] = (_edits, _repetitions, _lengths, _hallucinations, _languages)
