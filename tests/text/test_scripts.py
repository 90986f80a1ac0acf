"""Scripts: told by letters, of languages by more than stray ones, of a text by most of its letters."""

import pytest

from speechllm_plugin.text.scripts import is_mostly_in_others, letters_by_script, script_of, scripts_of


@pytest.mark.parametrize(
    "letters, script",
    [
        ("aéßŁ", "LATIN"),
        ("жЩ", "CYRILLIC"),
        ("λ", "GREEK"),
        ("漢々", "HAN"),
        ("ひ", "HIRAGANA"),
        ("カー", "KATAKANA"),
        ("한", "HANGUL"),
        ("ي", "ARABIC"),
        ("த", "TAMIL"),
        ("1 .,\u0301\u02b0", ""),
    ],
)
def test_scripts_by_the_names_of_letters(letters, script):
    assert {script_of(letter) for letter in letters} == {script}


def test_only_letters_of_a_script_count():
    assert letters_by_script("Ｌatin: 12 да, カ!") == {"LATIN": 5, "CYRILLIC": 2, "KATAKANA": 1}
    assert letters_by_script("12 %") == {}


def test_a_language_may_have_several_scripts_but_not_those_of_stray_letters():
    japanese = ["漢字とカタカナとひらがな" * 5, "BBC のニュース"]
    assert scripts_of(japanese) == {"HAN", "HIRAGANA", "KATAKANA", "LATIN"}
    assert scripts_of(["a" * 199, "я" * 2]) == {"LATIN"} and scripts_of(["a" * 198, "я" * 2]) == {"LATIN", "CYRILLIC"}
    assert scripts_of(["12", ""]) == frozenset()


def test_a_text_is_in_other_scripts_if_more_than_half_of_its_letters_are():
    assert is_mostly_in_others("да but", {"CYRILLIC"}) and not is_mostly_in_others("да ok", {"CYRILLIC"})
    assert not is_mostly_in_others("12 %", {"CYRILLIC"}) and not is_mostly_in_others("ひ漢ー", {"HIRAGANA", "HAN", "KATAKANA"})
