"""Words of texts, with and without blanks between them."""

import pytest

from speechllm_plugin.text.word_splitting import words_of


def test_words_are_those_of_the_normalised_text_in_its_language():
    assert words_of("L’homme, dit-on!", "fr") == ["l'", "homme", "dit", "on"]
    assert words_of("Don’t  STOP.") == ["don't", "stop"]
    assert words_of("...") == []


@pytest.mark.parametrize(
    "text, words",
    [
        ("我喜欢 BBC。", ["我", "喜", "欢", "bbc"]),
        ("コーヒーをください", list("コーヒーをください")),
        ("3人です", ["3", "人", "で", "す"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("ຂອບໃຈ", list("ຂອບໃຈ")),
        ("ភាសា", ["ភា", "សា"]),
        ("မြန်မာ", ["မြ", "န်", "မာ"]),
        ("한국어 단어", ["한국어", "단어"]),
    ],
)
def test_scripts_without_spaces_have_a_word_per_letter_with_its_marks(text, words):
    assert words_of(text) == words
