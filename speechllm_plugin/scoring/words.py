"""Words that the training texts have often, rarely or never, and how many of them a system finds."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from speechllm_plugin.scoring.measures import Measure, check_paired
from speechllm_plugin.text.word_alignment import CORRECT, align
from speechllm_plugin.text.word_splitting import words_of

# How often the training texts have a word: lowest count of each band.
BANDS = (0, 1, 10, 100)


def word_counts(texts: Sequence[str], languages: Sequence[str]) -> Counter[str]:
    """How often each normalised word stands in the texts (say, all transcripts of a training set).

    Args:
        texts, languages: as many of each; "" is an unknown language. A word has one count whatever language it stands in.
    """
    check_paired(texts=texts, languages=languages)
    counted: Counter[str] = Counter()
    # A multilingual training set has each transcript once per target language.
    for (text, language), number in Counter(zip(texts, languages)).items():
        for word in words_of(text, language):
            counted[word] += number
    return counted


def num_unseen_words(texts: Sequence[str], languages: Sequence[str], counts: Mapping[str, int]) -> np.ndarray:
    """(N,) the number of words of each text that the counts lack."""
    check_paired(texts=texts, languages=languages)
    unseen = [sum(not counts.get(word) for word in words_of(text, language)) for text, language in zip(texts, languages)]
    return np.array(unseen, dtype=np.int64)


def found_words(hypothesis_words: Sequence[str], reference_words: Sequence[str], by_alignment: bool) -> list[bool]:
    """Whether the hypothesis has them, for the words of a reference.

    Args:
        by_alignment: for recognition: a word is found where the minimal alignment pairs it with itself. Otherwise, for translation, which
            may say the same in another order: a word that stands r times in the reference and h times in the hypothesis is found
            min(r, h) times, wherever it stands (as BLEU counts unigrams).
    """
    if by_alignment:
        correct = {pair.reference for pair in align(reference_words, hypothesis_words) if pair.operation == CORRECT}
        return [position in correct for position in range(len(reference_words))]
    left, found = Counter(hypothesis_words), []
    for word in reference_words:
        found.append(left[word] > 0)
        left[word] -= 1
    return found


def word_recall(
    hypotheses: Sequence[str], references: Sequence[str], counts: Mapping[str, int], languages: Sequence[str], by_alignment: bool
) -> list[Measure]:
    """The share of the references' words that the hypotheses have: of each band of frequency in training, and of all words seen there.

    Args:
        hypotheses, references, languages: as many of each, N sentences; languages are the references'.
        counts: of `word_counts` over the training targets.
        by_alignment: see `found_words`.

    Returns:
        Measures with (N, 2) words found and words; a band without words is there as well.
    """
    lowest = np.array(BANDS)
    statistics = np.zeros((len(references), len(BANDS), 2))
    for row, word, found in _words_of_references(hypotheses, references, languages, by_alignment):
        band = np.searchsorted(lowest, counts.get(word, 0), side="right") - 1
        statistics[row, band] += found, 1
    how = "that the word alignment finds in the output" if by_alignment else "that the output has, anywhere in the sentence"
    bands = [(*_described(band), statistics[:, band]) for band in range(len(BANDS))]
    bands.append(("seen", "seen in training", "at least once", statistics[:, 1:].sum(axis=1)))
    return [
        Measure(name, heading, "words", of_band, False, f"Of the reference's words that training has {often}, those {how}.")
        for name, heading, often, of_band in bands
    ]


def unseen_words(
    hypotheses: Sequence[str], references: Sequence[str], counts: Mapping[str, int], languages: Sequence[str], by_alignment: bool
) -> list[tuple[str, int, int]]:
    """(word, occurrences in the references, how many of them found) of the words that training lacks, most frequent first, then by alphabet.

    Arguments as for `word_recall`.
    """
    occurrences: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for _, word, found in _words_of_references(hypotheses, references, languages, by_alignment):
        if not counts.get(word):
            occurrences[word] += 1
            hits[word] += found
    return [(word, occurrences[word], hits[word]) for word in sorted(occurrences, key=lambda word: (-occurrences[word], word))]


def _words_of_references(
    hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str], by_alignment: bool
) -> Iterator[tuple[int, str, bool]]:
    """(row, word, whether it was found) of every word of the references."""
    check_paired(hypotheses=hypotheses, references=references, languages=languages)
    for row, (hypothesis, reference, language) in enumerate(zip(hypotheses, references, languages)):
        reference_words = words_of(reference, language)
        for word, found in zip(reference_words, found_words(words_of(hypothesis, language), reference_words, by_alignment)):
            yield row, word, found


def _described(band: int) -> tuple[str, str, str]:
    """The name of a band, its heading, and how often training has its words."""
    low = BANDS[band]
    if low == 0:
        return "unseen", "unseen in training", "never"
    if band + 1 == len(BANDS):
        return f"seen_{low}_or_more", f"seen {low} times or more", f"{low} times or more"
    high = BANDS[band + 1] - 1
    return f"seen_{low}_to_{high}", f"seen {low}-{high} times", f"{low} to {high} times"
