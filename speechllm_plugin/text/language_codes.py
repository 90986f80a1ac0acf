"""The languages of manifests (de, deu, zh-CN) in the names that translation models have for them (deu_Latn, de_DE, de, zho_Hans)."""

import difflib
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

NAMES_SUGGESTED = 5

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
DEFAULT_SCRIPT = {name.partition("_")[0]: name.partition("_")[2].lower() for name in FLORES.values()}
SCRIPT_OF_REGION = {("zho", "cn"): "hans", ("zho", "sg"): "hans", ("zho", "tw"): "hant", ("zho", "hk"): "hant", ("zho", "mo"): "hant"}


class Language(NamedTuple):
    """What a code says: `language` in FLORES-200's three letters if it is there, script and region in small letters or empty."""

    language: str
    script: str
    region: str


def parse(code: str) -> Language:
    """Codes as in BCP 47 (zh-Hant, pt-BR), FLORES (zho_Hant), mBART (zh_CN) and OPUS (cmn_Hant)."""
    first, *others = re.split(r"[-_]", code.strip().lower())
    language = FLORES[first].partition("_")[0] if first in FLORES else SAME_LANGUAGE.get(first, first)
    region = next((part for part in others if re.fullmatch(r"[a-z]{2}|\d{3}", part) and part != "xx"), "")  # mBART: en_XX
    script = next((part for part in others if re.fullmatch(r"[a-z]{4}", part)), SCRIPT_OF_REGION.get((language, region), ""))
    return Language(language, script, region)


def is_known(code: str) -> bool:
    """Whether this table knows the language, whatever any model knows."""
    return parse(code).language in DEFAULT_SCRIPT


def find(code: str, names: Collection[str]) -> str:
    """The one of a model's names for languages that a manifest's code means.

    A script that the code names must be the model's, a region gives way; without a script the language's usual one is preferred.

    Raises:
        ValueError: the model has no such language, or several that the code may mean.
    """
    if code in names:
        return code
    wanted = parse(code)
    fitting = {}
    for name in names:
        offered = parse(name)
        if offered.language == wanted.language and (not wanted.script or not offered.script or wanted.script == offered.script):
            script = wanted.script or DEFAULT_SCRIPT.get(wanted.language, "")
            fitting[name] = (offered.script == script, offered.region == wanted.region, not (offered.script or offered.region))
    best = [name for name, fit in fitting.items() if fit == max(fitting.values())]
    if len(best) == 1:
        return best[0]
    if best:
        raise ValueError(f"the language code {code!r} may mean {' or '.join(sorted(best))}")
    raise ValueError(f"the language code {code!r} is unknown to the model; its nearest names are {', '.join(nearest(code, names))}")


def nearest(code: str, names: Iterable[str]) -> list[str]:
    """The names that are most like a code: of the same language, then by their letters."""
    language, names = parse(code).language, sorted(names)
    same = [name for name in names if parse(name).language == language]
    # A three-letter name's letters weigh as much as the whole code does, whatever the script behind it.
    by_letters = sorted(names, key=lambda name: -difflib.SequenceMatcher(None, code.lower(), re.split("[-_]", name.lower())[0]).ratio())
    return list(dict.fromkeys(same + by_letters))[:NAMES_SUGGESTED]
