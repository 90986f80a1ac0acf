"""Error rates of the words of a list and of all others, and how many words of the list are found, and written where nobody said them.

Source: Le et al. 2021, Contextualized Streaming End-to-End Speech Recognition with Trie-Based Deep Biasing and Shallow Fusion (B-WER, U-WER).
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speechllm_plugin.files.digests import short_digest
from speechllm_plugin.scoring.metric import Metric, checked
from speechllm_plugin.scoring.metrics.error_rates import signature
from speechllm_plugin.scoring.share import share
from speechllm_plugin.text.word_alignment import CORRECT, align
from speechllm_plugin.text.word_splitting import words_of

Texts = tuple[str, ...]
Words = tuple[str, ...]


class SentenceCounts(NamedTuple):
    """What is counted in a sentence. A word is hot as a part of an occurrence of the list's words or phrases.

    hot_errors, other_errors: substitutions and deletions by the word of the reference, insertions by that of the hypothesis.
    found: occurrences in the reference of which the alignment finds every word.
    false: occurrences in the hypothesis of which some word is not aligned with itself.
    """

    hot_errors: int
    hot_words: int
    other_errors: int
    other_words: int
    found: int
    occurrences: int
    false: int
    all_words: int


def metrics_of(words: Sequence[str]) -> list[Metric]:
    """The metrics of a list of words or phrases; they have no score where the references have no word that they count.

    Words are those of normalised WER, whose edits B-WER and U-WER share out; of a script without blanks every letter is a word.
    """

    @functools.lru_cache(maxsize=4)  # the metrics share the counts of a system's outputs
    def counts(hypotheses: Texts, references: Texts, languages: Texts) -> np.ndarray:
        phrases = {language: by_first_word(words, language) for language in set(languages)}
        rows = [
            count(words_of(text, language), words_of(reference, language), phrases[language])
            for text, reference, language in zip(hypotheses, references, languages)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, len(SentenceCounts._fields))

    def metric(name: str, heading: str, lower_is_better: bool, counted: str, out_of: str) -> Metric:
        columns = [SentenceCounts._fields.index(counted), SentenceCounts._fields.index(out_of)]

        def statistics(hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> np.ndarray:
            return counts(tuple(hypotheses), tuple(references), tuple(languages))[:, columns]

        return Metric(name, heading, lower_is_better, checked(statistics), share, signed, may_count_nothing=True)

    def signed(languages: Sequence[str]) -> str:
        return f"{signature('word', languages)}|list:{len(words)}-{short_digest(sorted(words))}"

    return [
        metric("b_wer", "B-WER", True, "hot_errors", "hot_words"),
        metric("u_wer", "U-WER", True, "other_errors", "other_words"),
        metric("hot_found", "hot words found", False, "found", "occurrences"),
        metric("hot_false", "false hot words", True, "false", "all_words"),
    ]


def by_first_word(words: Sequence[str], language: str) -> dict[str, list[Words]]:
    """The normalised phrases that begin with each word, the longest first."""
    phrases: dict[str, list[Words]] = {}
    for phrase in sorted({tuple(words_of(word, language)) for word in words} - {()}, key=len, reverse=True):
        phrases.setdefault(phrase[0], []).append(phrase)
    return phrases


def occurrences(words: Sequence[str], phrases: dict[str, list[Words]]) -> list[range]:
    """The positions of every occurrence of a phrase, from left to right without overlap, the longest at each place."""
    found, position = [], 0
    while position < len(words):
        here = next((phrase for phrase in phrases.get(words[position], ()) if tuple(words[position : position + len(phrase)]) == phrase), ())
        if here:
            found.append(range(position, position + len(here)))
        position += max(1, len(here))
    return found


def count(hypothesis: Sequence[str], reference: Sequence[str], phrases: dict[str, list[Words]]) -> SentenceCounts:
    """The counts of one sentence, given its normalised words."""
    said, written = occurrences(reference, phrases), occurrences(hypothesis, phrases)
    hot_in_reference = {position for each in said for position in each}
    hot_in_hypothesis = {position for each in written for position in each}
    pairs = align(reference, hypothesis)
    wrong = [pair for pair in pairs if pair.operation != CORRECT]
    hot_errors = sum(pair.hypothesis in hot_in_hypothesis if pair.reference is None else pair.reference in hot_in_reference for pair in wrong)
    right_in_reference = {pair.reference for pair in pairs if pair.operation == CORRECT}
    right_in_hypothesis = {pair.hypothesis for pair in pairs if pair.operation == CORRECT}
    return SentenceCounts(
        hot_errors=hot_errors,
        hot_words=len(hot_in_reference),
        other_errors=len(wrong) - hot_errors,
        other_words=len(reference) - len(hot_in_reference),
        found=sum(right_in_reference.issuperset(each) for each in said),
        occurrences=len(said),
        false=sum(not right_in_hypothesis.issuperset(each) for each in written),
        all_words=len(reference),
    )
