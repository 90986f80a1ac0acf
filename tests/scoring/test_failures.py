"""How systems fail: each measure against texts that fail by design, and against slow definitions."""

import random

import editdistance
import numpy as np
import pytest

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.scoring.failures import MAX_WORDS_OF_LOOP, MIN_REPEATS_OF_LOOP, failures, hallucinations, left_out, loops, share
from speechllm_plugin.text.language_identification import learn
from speechllm_plugin.text.normalisation import normalise

WORDS = "the cat sat on a mat and said nothing at all".split()


def utterances(references, languages=None):
    languages = languages or ["en"] * len(references)
    return [Utterance(f"utt{row}", f"{row}.wav", 100, text, tgt_lang=language) for row, (text, language) in enumerate(zip(references, languages))]


def measures_of(hypotheses, references, languages=None, known=None):
    return {measure.name: measure for measure in failures(hypotheses, utterances(references, languages), known)}


def rows_of(measure):
    return measure.statistics.tolist()


def random_texts(seed, number=60):
    rng = random.Random(seed)
    references = [" ".join(rng.choices(WORDS, k=rng.choice((0, 1, 3, 8, 20)))) for _ in range(number)]
    hypotheses = [" ".join(rng.choices([word, rng.choice(WORDS), "", f"{word} uh"], (8, 1, 1, 1))[0] for word in text.split()) for text in references]
    return [text.capitalize() + "." if number % 3 else "uh" for number, text in enumerate(hypotheses)], references


def test_edits_of_one_sentence_each():
    measures = measures_of(["the cat um SAT!", "the mat", "um uh", "same"], ["The cat sat", "the cat sat", "", "Same."])
    assert rows_of(measures["insertions"]) == [[1, 3], [0, 3], [2, 0], [0, 1]]
    assert rows_of(measures["deletions"]) == [[0, 3], [1, 3], [0, 0], [0, 1]]
    assert rows_of(measures["substitutions"]) == [[0, 3], [1, 3], [0, 0], [0, 1]]
    assert measures["insertions"].score() == share(measures["insertions"].statistics.sum(axis=0)) == pytest.approx(300 / 7)


@pytest.mark.parametrize("seed", range(5))
def test_edits_add_up_to_the_normalised_word_error_rate_of_every_sentence(seed):
    hypotheses, references = random_texts(seed)
    measures = measures_of(hypotheses, references)
    edits = sum(measures[name].statistics[:, 0] for name in ("insertions", "deletions", "substitutions"))
    pairs = [(normalise(hypothesis).split(), normalise(reference).split()) for hypothesis, reference in zip(hypotheses, references)]
    assert edits.tolist() == [editdistance.eval(*pair) for pair in pairs]
    assert measures["deletions"].statistics[:, 1].tolist() == [len(reference) for _, reference in pairs]


@pytest.mark.parametrize(
    "words, found",
    [
        ("a a", []),
        ("x a a a y", ["a"]),
        ("a a a a a a", ["a"]),
        ("a b a b a", []),
        ("b a b a b a", ["a b"]),
        ("a b a b a b a b c c c", ["a b", "c"]),
        ("a a b a a b a a b", ["a a b"]),
        ("a b c d a b c d a b c d", ["a b c d"]),
        ("a b c d e a b c d e a b c d e", []),
        ("", []),
    ],
)
def test_loops(words, found):
    assert loops(words.split()) == {tuple(phrase.split()) for phrase in found}


@pytest.mark.parametrize("seed", range(5))
def test_loops_are_what_is_repeated_at_some_place(seed):
    rng = random.Random(seed)
    for _ in range(200):
        words = rng.choices("ab" if seed % 2 else "abc", k=rng.randint(0, 14))
        expected = set()
        for length in range(1, MAX_WORDS_OF_LOOP + 1):
            for start in range(len(words)):
                phrase = words[start : start + length]
                is_repeated = words[start : start + MIN_REPEATS_OF_LOOP * length] == phrase * MIN_REPEATS_OF_LOOP and len(phrase) == length
                is_repetition = any(phrase == phrase[:part] * (length // part) for part in range(1, length) if length % part == 0)
                if is_repeated and not is_repetition:
                    expected.add(min(tuple(phrase[turn:] + phrase[:turn]) for turn in range(length)))
        assert loops(words) == expected


def test_a_loop_that_the_reference_has_is_none():
    measures = measures_of(["no no no no", "no no no", "no no no yes yes yes", "no"], ["No, no, no!", "no no", "no no no yes", "no no no"])
    assert rows_of(measures["loops"]) == [[0, 1], [1, 1], [1, 1], [0, 1]]


def test_repeated_ngrams_are_those_said_before_in_the_sentence():
    measures = measures_of(["a b c d a b c d", "a a a a a", "a b c", ""], ["a b c d e", "a a a a a", "", ""])
    assert rows_of(measures["repeated_ngrams"]) == [[1, 5], [1, 2], [0, 0], [0, 0]]
    assert measures["repeated_ngrams"].of_references.tolist() == [[0, 2], [1, 2], [0, 0], [0, 0]]


def test_empty_long_and_short_outputs():
    lengths = [(0, 6), (0, 4), (2, 7), (3, 7), (11, 5), (10, 5), (5, 1), (6, 1), (3, 0), (4, 10), (5, 10)]  # words of output and reference
    measures = measures_of(["w " * said for said, _ in lengths], ["w " * needed for _, needed in lengths])
    out_of = [int(needed > 0) for _, needed in lengths]
    for name, failed in (("empty", [0, 1]), ("too_long", [4, 7]), ("too_short", [0, 2, 9])):
        assert rows_of(measures[name]) == [[int(row in failed), number] for row, number in enumerate(out_of)], name
    assert rows_of(measures_of(["...", "?"], ["Yes", "!"])["empty"]) == [[1, 1], [0, 0]]


def test_hallucinations_are_words_where_the_reference_is_empty():
    hypotheses, references = ["thank you", "", "...", "hello", ""], ["", " ", "", "hello there", "you"]
    measures = measures_of(hypotheses, references)
    assert rows_of(measures["hallucinating"]) == [[1, 1], [0, 1], [0, 1], [0, 0], [0, 0]]
    assert rows_of(measures["hallucinated_words"]) == [[2, 1], [0, 1], [0, 1], [0, 0], [0, 0]]
    assert measures["hallucinating"].score() == pytest.approx(100 / 3) and measures["hallucinated_words"].score() == pytest.approx(200 / 3)
    alone = hallucinations(hypotheses, utterances(references))
    assert [rows_of(measure) for measure in alone] == [rows_of(measures[measure.name]) for measure in alone]


def test_a_set_of_silence_has_no_score_of_anything_else():
    measures = measures_of(["thank you", ""], ["", ""])
    assert measures["hallucinating"].score() == 50
    for name in ("insertions", "deletions", "substitutions", "empty", "too_long", "too_short", "wrong_script"):
        assert np.isnan(measures[name].score()), name


def test_wrong_script_is_most_letters_of_a_script_that_the_language_does_not_have():
    references = ["Она сказала нет", "да 12", "BBC の漢字とカタカナ", "hello", "12"]
    hypotheses = ["she said no", "да yes", "カタカナ", "да д", "да"]
    measure = measures_of(hypotheses, references, ["ru", "ru", "ja", "en", ""])["wrong_script"]
    assert rows_of(measure) == [[1, 1], [1, 1], [0, 1], [1, 1], [0, 0]]
    assert measure.of_references.tolist() == [[0, 1]] * 4 + [[0, 0]]
    assert rows_of(measures_of(["да no", ""], ["да", "да"], ["ru", "ru"])["wrong_script"]) == [[0, 1], [0, 1]]  # half is not most


def test_wrong_language_stands_beside_the_error_of_the_classifier():
    pairs = [("the weather is nice today", "das Wetter ist heute schön"), ("she went to the market with him", "sie ging mit ihm auf den Markt")]
    training = [
        Utterance(f"t{row}", "t.wav", 100, german, src_text=english, src_lang="en", tgt_lang="de") for row, (english, german) in enumerate(pairs)
    ]
    references, languages = ["das Wetter auf dem Markt", "sie ist heute schön", "the market with him", "rien"], ["de", "de", "de", "fr"]
    hypotheses = ["the weather at the market", "sie war schön heute", "auf dem Markt mit ihm", "the weather"]
    known = learn(utterances(references, languages), training)
    measure = measures_of(hypotheses, references, languages, known)["wrong_language"]
    assert rows_of(measure) == [[1, 1], [0, 1], [0, 1], [0, 0]]
    assert measure.of_references.tolist() == [[0, 1], [0, 1], [1, 1], [0, 0]]
    assert left_out(known) == {}


def test_without_texts_in_two_languages_the_wrong_language_is_left_out_with_a_reason():
    known = learn(utterances(["yes"]))
    assert "wrong_language" not in measures_of(["yes"], ["yes"], known=known)
    assert "two or more languages" in left_out(known)["wrong_language"]


def test_measures_have_the_shape_that_significance_reads_and_each_says_what_it_is():
    for number in (0, 7):
        hypotheses, references = random_texts(3, number)
        measures = failures(hypotheses, utterances(references))
        assert len({measure.name for measure in measures}) == len(measures)
        for measure in measures:
            assert measure.statistics.shape == (number, 2) and measure.statistics.dtype == np.float64
            assert measure.lower_is_better and measure.explanation.endswith(".") and measure.heading and measure.group
            assert number or np.isnan(measure.score())


def test_hypotheses_of_another_test_set_are_refused():
    with pytest.raises(ValueError, match="but there are 1 hypotheses, 2 utterances"):
        failures(["a"], utterances(["a", "b"]))
