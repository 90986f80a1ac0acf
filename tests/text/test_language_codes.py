"""The languages of manifests in the names of translation models; no model is needed."""

import pytest

from speechllm_plugin.distillation.model_families import FAMILIES, tags
from speechllm_plugin.text import language_codes

# Written down from the two corpora's papers and NLLB's, not from the table.
MUSTC = {
    **{"en": "eng_Latn", "de": "deu_Latn", "es": "spa_Latn", "fr": "fra_Latn", "it": "ita_Latn", "nl": "nld_Latn", "pt": "por_Latn"},
    **{"ro": "ron_Latn", "ru": "rus_Cyrl", "ar": "arb_Arab", "cs": "ces_Latn", "fa": "pes_Arab", "tr": "tur_Latn", "vi": "vie_Latn"},
    "zh": "zho_Hans",
}
COVOST2 = {
    **{"ca": "cat_Latn", "zh-CN": "zho_Hans", "et": "est_Latn", "mn": "khk_Cyrl", "sv-SE": "swe_Latn", "lv": "lvs_Latn"},
    **{"sl": "slv_Latn", "ta": "tam_Taml", "ja": "jpn_Jpan", "id": "ind_Latn", "cy": "cym_Latn"},
}
THREE_LETTERS = {
    **{"deu": "deu_Latn", "ara": "arb_Arab", "fas": "pes_Arab", "zho": "zho_Hans"},
    **{"cmn": "zho_Hans", "mon": "khk_Cyrl", "lav": "lvs_Latn"},
}
SCRIPTS_AND_REGIONS = {
    **{"zh-TW": "zho_Hant", "zh-Hant": "zho_Hant", "zh_HK": "zho_Hant"},
    **{"pt-BR": "por_Latn", "DE": "deu_Latn", "kr": "knc_Latn"},
}

NLLB = {*MUSTC.values(), *COVOST2.values(), "zho_Hant", "knc_Arab", "knc_Latn", "ace_Arab", "ace_Latn", "dyu_Latn", "srp_Cyrl"}
MBART = {"en_XX", "de_DE", "zh_CN", "pt_XX", "sv_SE", "lv_LV"}
M2M100 = {"en", "de", "zh", "sv", "lv", "ast"}
OPUS = {"deu", "nld", "cmn_Hans", "cmn_Hant", "pt_br", "pt"}


@pytest.mark.parametrize("code, name", (MUSTC | COVOST2 | THREE_LETTERS | SCRIPTS_AND_REGIONS).items())
def test_codes_of_the_corpora_become_the_names_of_nllb(code, name):
    assert language_codes.find(code, NLLB) == name


@pytest.mark.parametrize(
    "names, code, name",
    [
        *[(MBART, *pair) for pair in {"en": "en_XX", "deu": "de_DE", "zh-CN": "zh_CN", "pt-BR": "pt_XX", "sv-SE": "sv_SE"}.items()],
        *[(M2M100, *pair) for pair in {"en": "en", "deu": "de", "zh-CN": "zh", "sv-SE": "sv", "lav": "lv", "ast": "ast"}.items()],
        *[(OPUS, *pair) for pair in {"de": "deu", "zh": "cmn_Hans", "zh-TW": "cmn_Hant", "pt-BR": "pt_br", "pt": "pt"}.items()],
    ],
)
def test_other_models_have_other_names(names, code, name):
    assert language_codes.find(code, names) == name


def test_the_table_names_every_language_once():
    assert len(set(language_codes.FLORES.values())) == len(language_codes.FLORES) - 1  # no and nb are one
    assert not set(language_codes.SAME_LANGUAGE) & set(language_codes.DEFAULT_SCRIPT)
    assert set(language_codes.SAME_LANGUAGE.values()) <= set(language_codes.DEFAULT_SCRIPT) | {"din", "dik"}


@pytest.mark.parametrize(
    "code, names, message",
    [
        ("dey", NLLB, "'dey' is unknown to the model; its nearest names are deu_Latn"),
        ("sr-Latn", NLLB, "'sr-Latn' is unknown to the model; its nearest names are srp_Cyrl"),
        ("zh-TW", MBART, "'zh-TW' is unknown to the model; its nearest names are zh_CN"),
        ("ace", NLLB, "'ace' may mean ace_Arab or ace_Latn"),
    ],
)
def test_a_language_that_the_model_lacks_or_has_twice_is_an_error(code, names, message):
    with pytest.raises(ValueError, match=message):
        language_codes.find(code, names)


def test_tags_are_told_from_words():
    vocabulary = ["<s>", "▁the", "deu_Latn", "eng_Latn", "__de__", ">>deu<<", "<2de>", "de_DE", "<unk>"]
    found = {model_type: tags(family, vocabulary) for model_type, family in FAMILIES.items()}
    assert found["m2m_100"] == {"deu_Latn": "deu_Latn", "eng_Latn": "eng_Latn"}
    assert found["mbart"] == {"de_DE": "de_DE"}
    assert found["marian"] == {"deu": ">>deu<<"}
    assert found["t5"] == found["mt5"] == {"de": "<2de>"}
    assert found["bart"] == {}
    assert tags(FAMILIES["m2m_100"], ["__de__", "x"]) == {"de": "__de__"}
