"""A vocabulary writes every text that it was trained on as it is, in every language and Unicode form, so that a perfect output scores 100."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_vocabulary import train_largest
from texts_of_languages import TEXTS

from speechllm_plugin.preparation import vocabulary
from speechllm_plugin.preparation.round_trip import LostTexts
from speechllm_plugin.scoring.metrics import METRICS
from speechllm_plugin.tasks import vocabulary_files
from speechllm_plugin.tasks.text_codec import TextCodec
from speechllm_plugin.text.white_space import with_single_blanks

FORMS = {form: {language: unicodedata.normalize(form, text) for language, text in TEXTS.items()} for form in ("NFC", "NFD")}
PERFECT = {"wer": 0, "cer": 0, "wer_normalised": 0, "cer_normalised": 0, "bleu": 100, "chrf": 100, "ter": 0}


def codec(prefix):
    """What training and decoding make of a vocabulary."""
    dictionary = vocabulary_files.load_dictionary(prefix.with_suffix(".txt"))
    return TextCodec(dictionary, None, {"bpe": "sentencepiece", "sentencepiece_model": f"{prefix}.model"})


def trained(prefix, texts, tags=()):
    train_largest(prefix, texts, tags)
    return codec(prefix)


@pytest.fixture(scope="module")
def of_all_languages(tmp_path_factory):
    texts = [text for form in FORMS.values() for text in form.values()]
    return trained(tmp_path_factory.mktemp("vocabulary") / "spm", texts, tags=[vocabulary.language_tag(language) for language in TEXTS])


def as_generated(codec, text):
    """The target of a row as fairseq-generate prints it."""
    return codec.decode(codec.encode(text, end=[]).tolist())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("language", TEXTS)
def test_targets_decoded_are_the_references(of_all_languages, language, form):
    text = FORMS[form][language]
    output = as_generated(of_all_languages, text)
    assert output == " ".join(text.split())
    for name, metric in METRICS.items():
        if name != "bleu" or language != "ja" or can_split_japanese():
            assert metric.score([output], [text], [language]) == pytest.approx(PERFECT[name]), name


def can_split_japanese():
    try:
        METRICS["bleu"].signature(["ja"])
    except ValueError:
        return False
    return True


# Of the characters that SentencePiece keeps to itself a vocabulary knows nothing; a line break cannot stand in a manifest.
RESERVED = "\u2581\u2585\x00\t\r\n"
ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters=RESERVED), max_size=30).filter(lambda text: "<" not in text)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(texts=st.lists(ANY_TEXT, min_size=1, max_size=5).filter(lambda texts: any(text.split() for text in texts)))
def test_any_text_that_was_trained_on_survives(tmp_path_factory, texts):
    prefix = tmp_path_factory.mktemp("any") / "spm"
    mine = trained(prefix, texts)
    for text in texts:
        assert as_generated(mine, text) == with_single_blanks(text)
    assert not LostTexts.of(prefix, [""] * len(texts), texts).changed


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r\n\t"), max_size=40))
def test_texts_that_do_not_survive_are_those_that_the_task_writes_otherwise(of_all_languages, text):
    model = of_all_languages.tokenizer_files[0]
    lost = LostTexts.of(model.with_suffix(""), ["row"], [text])
    assert bool(lost.changed) == (as_generated(of_all_languages, text) != with_single_blanks(text))
    if lost.changed:
        assert lost.changed[0][2] == as_generated(of_all_languages, text)


def test_the_line_on_lost_texts_names_characters_and_shows_the_place(of_all_languages):
    prefix = of_all_languages.tokenizer_files[0].with_suffix("")
    lost = LostTexts.of(prefix, ["a", "b", "c"], ["größer", "größer ✈", "12 ✈✈"])
    assert lost.described("spm_target", "texts of dev (tgt_text)") == (
        "spm_target cannot write 2 of 3 texts of dev (tgt_text) as they are; it lacks the characters ✈ (U+2708 AIRPLANE); "
        "b: 'größer ✈' becomes 'größer <unk>'"
    )
    assert LostTexts.of(prefix, ["a"], ["größer"]).described("spm_target", "texts") == ""
