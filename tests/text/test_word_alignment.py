"""Word alignments: as few edits as can be, every word once, and the most similar words beside each other."""

import itertools
import random

import editdistance
import pytest

from speechllm_plugin.text.word_alignment import CORRECT, DELETION, INSERTION, SUBSTITUTION, Pair, align

# Short sentences of few words have many minimal alignments, long ones of many words are what systems say.
KINDS = [(8, 4), (12, 30), (40, 200)]


def slow_distance(reference, hypothesis):
    """Levenshtein's recurrence, as in textbooks."""
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hypothesis, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def random_pairs(max_words, vocabulary, number=150):
    """References, and hypotheses that are drawn alone or by wrong words in the reference."""
    rng = random.Random(f"{max_words} {vocabulary}")
    for index in range(number):
        reference = [f"word{rng.randrange(vocabulary)}" for _ in range(rng.randint(0, max_words))]
        if index % 2:
            kept = [word for word in reference if rng.random() < 0.8]
            hypothesis = [other for word in kept for other in (word, "uh")[: rng.choice((1, 1, 1, 2))]]
        else:
            hypothesis = [f"word{rng.randrange(vocabulary)}" for _ in range(rng.randint(0, max_words))]
        yield reference, hypothesis


@pytest.mark.parametrize("max_words, vocabulary", KINDS)
def test_no_alignment_has_fewer_edits(max_words, vocabulary):
    for reference, hypothesis in random_pairs(max_words, vocabulary):
        num_edits = sum(pair.operation != CORRECT for pair in align(reference, hypothesis))
        assert num_edits == slow_distance(reference, hypothesis) == editdistance.eval(reference, hypothesis)


@pytest.mark.parametrize("max_words, vocabulary", KINDS)
def test_every_word_is_in_one_pair_in_order_and_correct_pairs_only_are_the_same_word(max_words, vocabulary):
    for reference, hypothesis in random_pairs(max_words, vocabulary):
        pairs = align(reference, hypothesis)
        assert [pair.reference for pair in pairs if pair.operation != INSERTION] == list(range(len(reference)))
        assert [pair.hypothesis for pair in pairs if pair.operation != DELETION] == list(range(len(hypothesis)))
        for operation, i, j in pairs:
            assert operation in (INSERTION, DELETION) or (operation == CORRECT) == (reference[i] == hypothesis[j])
            assert (i is None) == (operation == INSERTION) and (j is None) == (operation == DELETION)


def test_empty_sides():
    assert align([], []) == []
    assert align(["a", "b"], []) == [Pair(DELETION, 0, None), Pair(DELETION, 1, None)]
    assert align([], ["a"]) == [Pair(INSERTION, None, 0)]


@pytest.mark.parametrize(
    "reference, hypothesis, operations",
    [
        ("she has seventeen cats", "she has um seventy cats", "CCISC"),
        ("she has um seventy cats", "she has seventeen cats", "CCDSC"),
        ("the doctor Kowalczyk came", "the doctor covalt chick came", "CCSIC"),
        ("so say hello", "hello", "DDC"),
        ("one two", "one three two four", "CICI"),
    ],
)
def test_similar_words_stand_for_each_other(reference, hypothesis, operations):
    letters = {CORRECT: "C", SUBSTITUTION: "S", DELETION: "D", INSERTION: "I"}
    assert "".join(letters[pair.operation] for pair in align(reference.split(), hypothesis.split())) == operations


def test_the_similar_words_are_the_best_of_all_ways():
    """A stretch without a common word, of 3 against 5: the sum of similarities is that of the best of all choices."""
    rng = random.Random(5)

    def similarity(one, other):
        return 1 - editdistance.eval(one, other) / max(len(one), len(other))

    for _ in range(40):
        short = ["a" + "".join(rng.choices("xyz", k=rng.randint(1, 4))) for _ in range(3)]
        long = ["b" + "".join(rng.choices("xyz", k=rng.randint(1, 4))) for _ in range(5)]
        best = max(sum(map(similarity, short, chosen)) for chosen in itertools.combinations(long, 3))
        for reference, hypothesis in ((short, long), (long, short)):
            substituted = [(reference[i], hypothesis[j]) for operation, i, j in align(reference, hypothesis) if operation == SUBSTITUTION]
            assert sum(similarity(*words) for words in substituted) == pytest.approx(best)
