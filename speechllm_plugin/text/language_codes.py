"""Codes of languages: their parts, and the names that translation models have for them."""

import difflib
import functools
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

import langcodes

NAMES_SUGGESTED = 5

# ISO 639 has codes for groups of close languages. Translation models know one or more members of a group, and name some groups by a
# member; these are one language here: member -> group. (The library langcodes knows most such pairs, and these not.)
GROUP_OF_MEMBER = {"fil": "tl", "knc": "kr", "fuv": "ff", "pbt": "ps", "quy": "qu", "nb": "no"}
# Members that models have apart from their groups: Twi (of Akan) and Dari (of Persian).
APART = {"tw": "tw", "twi": "tw", "prs": "prs"}
# For these languages models distinguish scripts that a code tells by its region, as zh-TW does.
SCRIPT_BY_REGION = {"zh"}
NO_REGION = "xx"  # as mBART writes it


class Language(NamedTuple):
    """The parts of a code, in small letters.

    language: ISO 639-1 where there is such a code, else ISO 639-3; of a member of a group that models name so, the group's.
    script, region: empty where the code does not tell.
    """

    language: str
    script: str
    region: str


@functools.cache
def parse(code: str) -> Language:
    """The parts of a code as in BCP 47 (zh-Hant, pt-BR), FLORES (zho_Hant), mBART (zh_CN) or OPUS (cmn_Hant).

    A text that is none is taken for a language, up to a hyphen or underscore.
    """
    code = code.strip().lower()
    first = re.split("[-_]", code)[0]
    try:
        tag = langcodes.Language.get(code)
    except langcodes.LanguageTagError:
        return Language(first, "", "")
    region = (tag.territory or "").lower()
    language = APART.get(first) or tag.prefer_macrolanguage().language or ""
    language = GROUP_OF_MEMBER.get(language, language)
    script = tag.script
    if script is None and language in SCRIPT_BY_REGION and region:
        script = tag.maximize().script
    return Language(language, (script or "").lower(), "" if region == NO_REGION else region)


def is_known(code: str) -> bool:
    """Whether a code is that of a language with a two-letter code (ISO 639-1), whatever any model knows."""
    language = parse(code).language
    return len(language) == 2 and langcodes.Language.get(language).is_valid()


def primary_language(code: str) -> str:
    """The language of a code that may name a region or script: "zh" for zh-CN, "pt" for pt_BR, "fr" for fra_Latn."""
    return parse(code).language


def find(code: str, names: Collection[str]) -> str:
    """The one of a model's names for languages that a manifest's code means.

    A script that the code names must be the model's, a region gives way; without a script the language's usual one is preferred.

    Raises:
        ValueError: the model has no such language, or several that the code may mean.
    """
    if code in names:
        return code
    wanted = parse(code)
    script = wanted.script or _usual_script(wanted.language)
    fitting = {}
    for name in names:
        offered = parse(name)
        if offered.language == wanted.language and (not wanted.script or not offered.script or wanted.script == offered.script):
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


def _usual_script(language: str) -> str:
    """The script that a language is mostly written in; empty for languages without a two-letter code, of which too little is known."""
    return (langcodes.Language.get(language).maximize().script or "").lower() if is_known(language) else ""
