"""Scripts: which a letter belongs to, which a language is written in, and whether a text is in another one."""

import functools
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable

from speechllm_plugin.text.normalisation import normalise

# A script's name is the first word of its letters' Unicode names, with these exceptions; "" for letters of any script.
SCRIPT_OF_NAME = {"CJK": "HAN", "IDEOGRAPHIC": "HAN", "HENTAIGANA": "HIRAGANA"}
SCRIPT_OF_NAME |= dict.fromkeys(("MODIFIER", "VERTICAL", "CARON", "TURNED", "MASU"), "")

# Of a language's letters; less are names and quotations.
MIN_SHARE_OF_SCRIPT = 0.01


@functools.cache
def script_of(letter: str) -> str:
    """LATIN, CYRILLIC, HAN ...; "" for a character that is no letter or belongs to no script in particular."""
    if not letter.isalpha():
        return ""
    name = unicodedata.name(letter, "").replace("-", " ").partition(" ")[0]
    return SCRIPT_OF_NAME.get(name, name)


def letters_by_script(text: str) -> Counter[str]:
    """Script -> number of letters of the normalised text."""
    counted: Counter[str] = Counter()
    for character, number in Counter(normalise(text)).items():
        counted[script_of(character)] += number
    del counted[""]
    return counted


def scripts_of(texts: Iterable[str]) -> frozenset[str]:
    """The scripts of one language, from texts in it: those of more than stray letters. Japanese has several."""
    counted = letters_by_script("\n".join(texts))
    return frozenset(script for script, number in counted.items() if number >= MIN_SHARE_OF_SCRIPT * counted.total())


def is_mostly_in_others(text: str, scripts: Collection[str]) -> bool:
    """Whether more than half of a text's letters belong to scripts that are not among these."""
    letters = letters_by_script(text)
    return 2 * sum(number for script, number in letters.items() if script not in scripts) > letters.total()
