"""The normaliser: what it removes, what languages do with apostrophes, and that it has nothing left to do after once."""

import random
import unicodedata

import pytest

from speechllm_plugin.text import normalisation as rules
from speechllm_plugin.text.language_codes import primary_language
from speechllm_plugin.text.normalisation import DOTLESS_I, normalise, normaliser_signature, normaliser_version

LANGUAGES = ["", "en", "cy", *rules.ELIDED_WORDS, *sorted(rules.FINAL_APOSTROPHE)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Hello, World!", "hello world"),
        ("  two \t spaces\u00a0here ", "two spaces here"),
        ("don't Don’t don´t donʼt don`t don‛t don＇t", " ".join(["don't"] * 7)),
        ("'quoted' ‘quoted’ dogs’ 'cause", "quoted quoted dogs cause"),
        ("rock''n", "rock n"),
        ("p'unchay l’homme", "p'unchay l'homme"),
        ("word—word well-known snake_case", "word word well known snake case"),
        ("¿Qué? «Guillemets» „Anführung“ …", "qué guillemets anführung"),
        ("5 € + 20% = $6", "5 20 6"),
        ("ﬁne ＦＵＬＬ ½", "fine full 1 2"),
        ("STRASSE straße", "strasse straße"),
        ("e\u0301te\u0301 \u00e9t\u00e9", "été été"),
        ("हिन्दी, हिन्दी।", "हिन्दी हिन्दी"),
        ("、。！", ""),
        ("", ""),
    ],
)
def test_case_and_unicode_punctuation_are_removed(text, expected):
    assert normalise(text) == expected


@pytest.mark.parametrize(
    "language, text, expected",
    [
        ("en", "Don’t, the dogs’ 'bone'", "don't the dogs bone"),
        ("de", "Geht’s? Hans’ Auto", "geht's hans auto"),
        ("cy", "Mae’r ci a’i", "mae'r ci a'i"),
        ("tr", "Türkiye’de", "türkiye'de"),
        ("fr", "L’homme qu’il n’a vu", "l' homme qu' il n' a vu"),
        ("fr", "Aujourd’hui, quelqu’un: O’Connor", "aujourd'hui quelqu'un o'connor"),
        ("fr", "d’l’eau, l' homme, donne-m’en", "d' l' eau l' homme donne m' en"),
        ("fr", "les 'amis' des amis'", "les amis des amis"),
        ("it", "Dell’acqua, un po’ d’aria, com’è", "dell' acqua un po d' aria com' è"),
        ("ca", "L’home; agafa’l d’aquí", "l' home agafa'l d' aquí"),
        ("oc", "l’aiga", "l' aiga"),
        ("que", "p’unchay k'aspi", "p'unchay k'aspi"),
        ("gn", "mba'e so’o", "mba'e so'o"),
        ("br", "dec’h", "dec'h"),
        ("uk", "М’яч", "м'яч"),
        ("uz", "Togʻ, tog‘ va bog’", "tog' tog' va bog'"),
        ("mt", "Jista’ ta' Malta", "jista' ta' malta"),
        ("he", "קולג׳ וצ'יפס", "קולג' וצ'יפס"),
        ("so", "lo'", "lo'"),
    ],
)
def test_apostrophes_follow_the_language(language, text, expected):
    assert normalise(text, language) == expected


def test_codes_of_regions_and_scripts_have_the_rule_of_their_language():
    for code in ("fr", "fr-CA", "fr_FR", "FR", "fra_Latn", "fra"):
        assert normalise("l’homme", code) == "l' homme"
    assert [primary_language(code) for code in ("zh-CN", "pt-BR", "sv-SE", "cmn_Hans", "", "xx")] == ["zh", "pt", "sv", "zh", "", "xx"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_normalising_twice_changes_nothing(language):
    generator = random.Random(2)
    letters = [chr(code) for code in range(0x20, 0x3000) if unicodedata.category(chr(code))[0] != "C"]
    apostrophes = [chr(code) for code in rules.APOSTROPHES] + ["'"]
    elided = sorted(rules.ELIDED_WORDS.get(language, ["l", "qu"]))
    for trial in range(400):
        pieces = generator.choices([letters, apostrophes, [" "], elided, list("abclmqu.-")], [1, 4, 2, 2, 2], k=30) if trial % 2 else [letters] * 60
        text = "".join(map(generator.choice, pieces))
        once = normalise(text, language)
        assert normalise(once, language) == once
        assert not any(unicodedata.category(letter)[0] in "PS" for letter in once.replace("'", ""))


def test_every_character_alone_and_between_letters_is_normalised_in_one_step():
    for code in range(0x20, 0x1_0000):
        if unicodedata.category(chr(code))[0] != "C":
            for text in (chr(code), f"a{chr(code)}b"):
                once = normalise(text)
                assert normalise(once) == once, hex(code)


def test_the_signature_says_which_rules_were_used():
    assert normaliser_signature([]) == normaliser_signature(["", "de-AT"]) == "norm:3|apostrophe:within"
    assert normaliser_signature(["it", "fra_Latn", "fr-CA"]) == "norm:3|apostrophe:elision[fr,it]"
    assert normaliser_signature(["uz", "en", "fr"]) == "norm:3|apostrophe:elision[fr]+final[uz]+within"
    assert normaliser_signature(["tr-TR", "en", "aze"]) == "norm:3|apostrophe:within|i:dotless[az,tr]"
    assert [normaliser_version(text) for text in ("nrefs:1|case:lc|norm:2|apostrophe:within", normaliser_signature(["tr"]), "norm:no|x", "")] == [
        2,
        3,
        0,
        0,
    ]


# language: capitals -> small letters
SMALL_LETTERS = {
    "tr": {"IŞIK": "ışık", "İstanbul": "istanbul", "I\u0307stanbul": "istanbul", "DİYARBAKIR’IN": "diyarbakır'ın"},
    "az": {"QIZ": "qız", "İLİ": "ili"},
    "az-Latn": {"QIZ": "qız"},
    "crh": {"QIRIM": "qırım"},
    "lt": {"I\u0300": "ì", "i\u0307\u0301": "í", "Į\u0303": "į\u0303", "į\u0307\u0303": "į\u0303", "Žaliasis": "žaliasis"},
    "de": {"INSEL": "insel", "i\u0307": "i\u0307"},
    "en": {"ISTANBUL": "istanbul"},
    "": {"I": "i"},
}


@pytest.mark.parametrize("language", SMALL_LETTERS)
def test_small_letters_are_those_of_the_language(language):
    for text, small in SMALL_LETTERS[language].items():
        assert normalise(text, language) == unicodedata.normalize("NFC", small)
        assert normalise(normalise(text, language), language) == normalise(text, language)


def test_a_capital_and_its_small_letter_are_the_same_word_in_turkish():
    for language in sorted(DOTLESS_I):
        assert normalise("ılık", language) == normalise("ILIK", language) != normalise("İLİK", language) == normalise("ilik", language)
