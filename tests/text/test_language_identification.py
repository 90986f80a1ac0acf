"""The language of a text, told by texts whose language is known."""

import numpy as np
import pytest

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.text import language_identification
from speechllm_plugin.text.language_identification import LanguageIdentifier, learn

ENGLISH = ["the weather is nice today", "she went to the market with her brother", "where is the railway station", "nothing was said about this"]
GERMAN = ["das Wetter ist heute schön", "sie ging mit ihrem Bruder auf den Markt", "wo ist der Bahnhof", "darüber wurde nichts gesagt"]


def utterance(number, **values):
    return Utterance(f"utt{number}", f"{number}.wav", 100, **{"tgt_text": ""} | values)


def translations():
    return [
        utterance(row, src_text=english, src_lang="en", tgt_text=german, tgt_lang="de") for row, (english, german) in enumerate(zip(ENGLISH, GERMAN))
    ]


def test_a_script_counts_that_the_references_or_the_training_texts_have():
    training = [utterance(0, tgt_text="превод", tgt_lang="sr", src_text="translation", src_lang="en")]
    known = learn([utterance(1, tgt_text="prevod", tgt_lang="sr"), utterance(2, tgt_text="12", tgt_lang="en"), utterance(3)], training)
    assert known.scripts == {"sr": {"LATIN", "CYRILLIC"}, "en": {"LATIN"}}


def test_texts_in_another_language_are_told_and_those_in_the_own_are_not():
    identifier = learn([], translations()).identifier
    assert identifier.languages == ["de", "en"]
    np.testing.assert_allclose(identifier.posteriors(["das Wetter", "12"]).sum(axis=1), 1)
    texts = ["the station is at the market", "der Bahnhof ist auf dem Markt", "the station is at the market"]
    assert identifier.in_another_language(texts, ["de", "de", "en"]).tolist() == [True, False, False]
    assert identifier.in_another_language([], []).tolist() == []


def test_short_texts_and_unknown_languages_are_never_told():
    identifier = LanguageIdentifier({"en": ENGLISH, "de": GERMAN})
    assert identifier.posteriors(["the with"])[0].max() >= language_identification.MIN_POSTERIOR
    assert identifier.in_another_language(["the with", "the with the", ""], ["de"] * 3).tolist() == [False, True, False]
    assert identifier.in_another_language(["the weather is nice today"] * 3, ["", "fr", "de"]).tolist() == [False, False, True]


def test_a_language_with_more_texts_is_not_more_likely():
    identifier = LanguageIdentifier({"en": ENGLISH * 20, "de": GERMAN})
    np.testing.assert_allclose(identifier.posteriors([""]), [[0.5, 0.5]])


def test_many_texts_are_selected_from_all_over_the_set(monkeypatch):
    monkeypatch.setattr(language_identification, "MAX_TEXTS_PER_LANGUAGE", 3)
    identifier = LanguageIdentifier({"en": [*ENGLISH, "qqqqqqqqqqqq"], "de": GERMAN})
    assert identifier.in_another_language(["qqqqqqqqqqqq"], ["de"]).tolist() == [True]


@pytest.mark.parametrize(
    "training, reason",
    [
        ([], "but there are none"),
        ([utterance(0, src_text="a", tgt_text="b")], "but there are none"),
        ([utterance(0, src_text="a text", src_lang="en", tgt_text="a text", tgt_lang="en")], "but there are only en"),
    ],
)
def test_one_language_is_told_from_no_other(training, reason):
    known = learn(translations(), training)
    assert known.identifier is None and reason in known.no_identifier
    with pytest.raises(ValueError, match="two or more, but there are en"):
        LanguageIdentifier({"en": ENGLISH})
