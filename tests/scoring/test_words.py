"""Words by how often training has them, and how many of them a system finds."""

import random
from collections import Counter

import numpy as np
import pytest

from speechllm_plugin.scoring.share import share
from speechllm_plugin.scoring.words import BANDS, found_words, num_unseen_words, unseen_words, word_counts, word_recall
from speechllm_plugin.text.normalisation import normalise

COUNTS = Counter({"the": 500, "cat": 99, "sat": 10, "mat": 9, "on": 100, "rug": 1})


def recall(measures):
    return {measure.name: tuple(measure.statistics.sum(axis=0)) for measure in measures}


def random_corpus(seed, num_sentences=40):
    rng = random.Random(seed)
    words = [*COUNTS, "Kowalczyk", "Ljubljana"]
    references = [" ".join(rng.choices(words, k=rng.randint(0, 12))) for _ in range(num_sentences)]
    hypotheses = [" ".join(rng.choices([word, rng.choice(words), ""], (8, 2, 1))[0] for word in text.split()) for text in references]
    return hypotheses, references


def test_words_of_training_are_counted_however_often_a_text_stands_there():
    texts, languages = ["The cat.", "the CAT", "The cat.", "l'eau", "l'eau"], ["en", "en", "en", "fr", "en"]
    assert word_counts(texts, languages) == Counter({"the": 3, "cat": 3, "l'": 1, "eau": 1, "l'eau": 1})
    assert num_unseen_words(["the dog saw a Dog", "", "cat"], ["en"] * 3, word_counts(texts, languages)).tolist() == [4, 0, 0]


def test_recognition_finds_a_word_where_it_is_aligned_with_itself():
    reference, hypothesis = "a b a c".split(), "c a b".split()
    assert found_words(hypothesis, reference, by_alignment=True) == [True, True, False, False]
    assert found_words(hypothesis, reference, by_alignment=False) == [True, True, False, True]


def test_translation_finds_a_word_as_often_as_both_sides_have_it():
    rng = random.Random(3)
    for _ in range(100):
        reference, hypothesis = (rng.choices("abcd", k=rng.randint(0, 9)) for _ in range(2))
        found = Counter(word for word, is_found in zip(reference, found_words(hypothesis, reference, by_alignment=False)) if is_found)
        assert found == Counter(reference) & Counter(hypothesis)


def test_recall_of_a_small_corpus():
    references = ["The cat sat on the mat", "Kowalczyk sat", ""]
    hypotheses = ["the cat sad on mat the", "Kowalczyk sat", "rug"]
    aligned = recall(word_recall(hypotheses, references, COUNTS, ["en"] * 3, by_alignment=True))
    # Minimal: "the" is inserted, or "mat" is, or both stand for another word; one of "the mat" is found.
    assert aligned["seen_100_or_more"][1] == 3 and aligned["seen_1_to_9"][1] == 1
    assert aligned["seen_100_or_more"][0] + aligned["seen_1_to_9"][0] == 3
    assert aligned["unseen"] == (1, 1) and aligned["seen_10_to_99"] == (2, 3) and aligned["seen"] == (5, 7)
    anywhere = recall(word_recall(hypotheses, references, COUNTS, ["en"] * 3, by_alignment=False))
    assert anywhere == {"unseen": (1, 1), "seen_1_to_9": (1, 1), "seen_10_to_99": (2, 3), "seen_100_or_more": (3, 3), "seen": (6, 7)}


@pytest.mark.parametrize("by_alignment", [True, False])
def test_bands_divide_the_seen_words_and_each_is_counted_as_one_would_by_hand(by_alignment):
    hypotheses, references = random_corpus(7)
    measures = {measure.name: measure for measure in word_recall(hypotheses, references, COUNTS, [""] * len(references), by_alignment)}
    seen = measures.pop("seen").statistics
    unseen = measures.pop("unseen").statistics
    np.testing.assert_array_equal(sum(measure.statistics for measure in measures.values()), seen)
    np.testing.assert_array_equal((seen + unseen)[:, 1], [len(normalise(text).split()) for text in references])
    for low, high, measure in zip(BANDS[1:], [*BANDS[2:], np.inf], measures.values()):
        for row, (hypothesis, reference) in enumerate(zip(hypotheses, references)):
            words = normalise(reference).split()
            found = found_words(normalise(hypothesis).split(), words, by_alignment)
            of_band = [is_found for word, is_found in zip(words, found) if low <= COUNTS[word] < high]
            assert measure.statistics[row].tolist() == [sum(of_band), len(of_band)]


def test_a_band_without_words_has_no_score_and_raises_nothing():
    measures = {measure.name: measure for measure in word_recall(["the"], ["the"], COUNTS, ["en"], by_alignment=True)}
    assert np.isnan(measures["unseen"].score()) and np.isnan(share(measures["seen_1_to_9"].statistics.sum(axis=0)))
    assert measures["seen"].score() == 100
    for measure in word_recall([], [], COUNTS, [], by_alignment=True):
        assert measure.statistics.shape == (0, 2) and np.isnan(measure.score())


@pytest.mark.parametrize("by_alignment", [True, False])
def test_unseen_words_add_up_to_the_unseen_band_and_stand_most_frequent_first(by_alignment):
    hypotheses, references = random_corpus(11)
    languages = [""] * len(references)
    listed = unseen_words(hypotheses, references, COUNTS, languages, by_alignment)
    assert {word for word, _, _ in listed} == {"kowalczyk", "ljubljana"}
    total = recall(word_recall(hypotheses, references, COUNTS, languages, by_alignment))["unseen"]
    assert (sum(hits for _, _, hits in listed), sum(occurrences for _, occurrences, _ in listed)) == total
    listed = unseen_words(["x c b", "z"], ["b c x", "x"], Counter(), ["", ""], by_alignment=False)
    assert listed == [("x", 2, 1), ("b", 1, 1), ("c", 1, 1)]


@pytest.mark.parametrize("arguments", [(["a"], ["a", "b"], COUNTS, ["en"]), (["a"], ["a"], COUNTS, [])])
def test_lists_of_different_lengths_are_refused(arguments):
    for function in (word_recall, unseen_words):
        with pytest.raises(ValueError, match="there must be one of each .* but there are 1 hypotheses"):
            function(*arguments, by_alignment=True)
