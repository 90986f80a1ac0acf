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

# ISO 639-1: name in FLORES-200, which NLLB uses; of several scripts or standards the one that is meant where nothing is said.
FLORES = dict(
    pair.split(":")
    for pair in """
    af:afr_Latn ak:aka_Latn am:amh_Ethi ar:arb_Arab as:asm_Beng ay:ayr_Latn az:azj_Latn ba:bak_Cyrl be:bel_Cyrl bg:bul_Cyrl bm:bam_Latn
    bn:ben_Beng bo:bod_Tibt bs:bos_Latn ca:cat_Latn cs:ces_Latn cy:cym_Latn da:dan_Latn de:deu_Latn dz:dzo_Tibt ee:ewe_Latn el:ell_Grek
    en:eng_Latn eo:epo_Latn es:spa_Latn et:est_Latn eu:eus_Latn fa:pes_Arab ff:fuv_Latn fi:fin_Latn fj:fij_Latn fo:fao_Latn fr:fra_Latn
    ga:gle_Latn gd:gla_Latn gl:glg_Latn gn:grn_Latn gu:guj_Gujr ha:hau_Latn he:heb_Hebr hi:hin_Deva hr:hrv_Latn ht:hat_Latn hu:hun_Latn
    hy:hye_Armn id:ind_Latn ig:ibo_Latn is:isl_Latn it:ita_Latn ja:jpn_Jpan jv:jav_Latn ka:kat_Geor kg:kon_Latn ki:kik_Latn kk:kaz_Cyrl
    km:khm_Khmr kn:kan_Knda ko:kor_Hang kr:knc_Latn ks:kas_Arab ku:kmr_Latn ky:kir_Cyrl lb:ltz_Latn lg:lug_Latn li:lim_Latn ln:lin_Latn
    lo:lao_Laoo lt:lit_Latn lv:lvs_Latn mg:plt_Latn mi:mri_Latn mk:mkd_Cyrl ml:mal_Mlym mn:khk_Cyrl mr:mar_Deva ms:zsm_Latn mt:mlt_Latn
    my:mya_Mymr nb:nob_Latn ne:npi_Deva nl:nld_Latn nn:nno_Latn no:nob_Latn ny:nya_Latn oc:oci_Latn om:gaz_Latn or:ory_Orya pa:pan_Guru
    pl:pol_Latn ps:pbt_Arab pt:por_Latn qu:quy_Latn rn:run_Latn ro:ron_Latn ru:rus_Cyrl rw:kin_Latn sa:san_Deva sc:srd_Latn sd:snd_Arab
    sg:sag_Latn si:sin_Sinh sk:slk_Latn sl:slv_Latn sm:smo_Latn sn:sna_Latn so:som_Latn sq:als_Latn sr:srp_Cyrl ss:ssw_Latn st:sot_Latn
    su:sun_Latn sv:swe_Latn sw:swh_Latn ta:tam_Taml te:tel_Telu tg:tgk_Cyrl th:tha_Thai ti:tir_Ethi tk:tuk_Latn tl:tgl_Latn tn:tsn_Latn
    tr:tur_Latn ts:tso_Latn tt:tat_Cyrl tw:twi_Latn ug:uig_Arab uk:ukr_Cyrl ur:urd_Arab uz:uzn_Latn vi:vie_Latn wo:wol_Latn xh:xho_Latn
    yi:ydd_Hebr yo:yor_Latn zh:zho_Hans zu:zul_Latn
    """.split()
)
# ISO 639-3 of a language or of a group of languages: of the member that FLORES-200 has for it.
SAME_LANGUAGE = dict(
    pair.split(":")
    for pair in """
    ara:arb aym:ayr aze:azj cmn:zho din:dik ekk:est fas:pes fil:tgl ful:fuv kau:knc kur:kmr lav:lvs mlg:plt mon:khk msa:zsm nep:npi nor:nob
    ori:ory orm:gaz pus:pbt que:quy sqi:als swa:swh uzb:uzn yid:ydd
    """.split()
)

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


def test_every_two_letter_code_becomes_its_name_among_all_of_nllb():
    """Dialects, other members of a group and other scripts stand among the names as well."""
    others = {"arb_Latn", "acm_Arab", "apc_Arab", "arz_Arab", "ars_Arab", "azb_Arab", "ckb_Arab", "kas_Deva", "knc_Arab", "prs_Arab", "yue_Hant"}
    others |= {"min_Arab", "min_Latn", "bjn_Arab", "taq_Latn", "taq_Tfng", "zho_Hant", "kea_Latn", "dik_Latn", "bho_Deva", "mni_Beng"}
    names = {*FLORES.values(), *others}
    assert {code: language_codes.find(code, names) for code in FLORES} == FLORES
    assert {name: language_codes.find(name.partition("_")[0], names) for name in FLORES.values()} == {name: name for name in FLORES.values()}
    assert {code: language_codes.find(code, names).partition("_")[0] for code in SAME_LANGUAGE} == SAME_LANGUAGE


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("zh-CN", ("zh", "hans", "cn")),
        ("zho_Hant", ("zh", "hant", "")),
        ("cmn_Hant_HK", ("zh", "hant", "hk")),
        ("pt-BR", ("pt", "", "br")),
        ("en_XX", ("en", "", "")),
        ("fre", ("fr", "", "")),
        ("yue", ("yue", "", "")),
        ("es-419", ("es", "", "419")),
        ("prs_Arab", ("prs", "arab", "af")),
        ("ROMANCE", ("romance", "", "")),
        ("a b_c", ("a b", "", "")),
        ("", ("", "", "")),
    ],
)
def test_codes_are_taken_apart(code, parts):
    assert language_codes.parse(code) == parts


def test_languages_are_known_and_groups_of_them_are_not():
    assert all(language_codes.is_known(code) for code in ("de", "deu", "ger", "cmn_Hans", "fil"))
    assert not any(language_codes.is_known(code) for code in ("ROMANCE", "gem", "NORTH_EU", "xx", "mul", "", "din"))


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
