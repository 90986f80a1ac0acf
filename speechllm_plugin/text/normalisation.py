"""The text normalisation of the normalised word and character error rates, and of whatever counts words."""

import re
import unicodedata
from collections.abc import Collection, Iterable

from speechllm_plugin.text.language_codes import primary_language

# Raise it with every change of what `normalise` returns: it is part of the metrics' signature.
NORMALISER_VERSION = 3

# Ways to write an apostrophe: right, left and reversed quotation mark, modifier letter, full width, Hebrew geresh, the
# spacing accents that keyboards offer instead, and Greek's. Mapped before NFKC, which makes a space and a combining accent
# of some, and after it, as it takes a few letters apart ("ŉ").
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u201b\u02bc\uff07\u05f3\u00b4\u0060\u1fef\u1ffd\u1fbd\u1fbf", "'"))

# Languages that drop a vowel before the next word and mark it by an apostrophe: language -> the words that do so. Such a word
# and the next are two words, "l' homme", so that an error in the article is not an error in the noun. All other apostrophes
# within words stay there, as in "aujourd'hui", "O'Connor" and Catalan's pronouns after a verb ("agafa'l").
ELIDED_WORDS = {
    "fr": frozenset("c d j l m n s t qu jusqu lorsqu puisqu quoiqu".split()),
    "it": frozenset("c d l m n s t v un gl all dall dell nell sull coll quell quest bell sant anch com cos dov quand senz tutt".split()),
    "ca": frozenset("d l m n s t".split()),
    "oc": frozenset("d l m n s t qu".split()),
}

# Languages in which it is a letter, or stands for one, that can end a word: Uzbek o' and g' ("tog'"), Maltese for għ ("jista'"),
# the geresh of Hebrew loanwords ("קולג'"), Somali's glottal stop ("lo'"). Where it is a letter that is always followed by
# another one, no rule is needed: ejectives of Quechua and Aymara ("p'unchay"), Guarani ("mba'e"), Breton c'h, Ukrainian ("м'яч").
FINAL_APOSTROPHE = {"uz", "mt", "he", "so"}
# Uzbek's own sign, a letter to Unicode; elsewhere (Hawaiian) it can begin a word and stays what it is.
TURNED_COMMA = str.maketrans("\u02bb", "'")

# Languages with two letters i, of which one has no dot in either case: I is the capital of ı, and İ that of i.
DOTLESS_I = {"tr", "az", "crh", "gag"}
CAPITALS_OF_TWO_I = str.maketrans("Iİ", "ıi")
# Lithuanian's small letters that keep their dot below an accent, where dictionaries write it apart; the capitals have none.
REDUNDANT_DOT = re.compile("(?<=[ij\u012f])\u0307")

NEITHER_WORD_NOR_SPACE = re.compile(r"[^\w\s]|_")


def normalise(text: str, language: str = "") -> str:
    """The text in lower case without punctuation and symbols, words separated by one space.

    Unicode form NFKC, lower case, then every character of the categories P* and S* becomes a space, so that words joined
    by a dash stay two words. Letters keep their accents; marks are not removed. An apostrophe, U+0027 however it was
    written, stays between letters, digits or marks: "Don’t!" and "don't" are the same, "dogs’" and "dogs" too. Two groups
    of languages differ: "l’homme" is "l' homme" where ELIDED_WORDS has the language, and a final one stays where
    FINAL_APOSTROPHE does. Small letters are those of the language (DOTLESS_I, Lithuanian). Applying it twice changes nothing.

    Languages that are written without spaces (Chinese, Japanese, Thai ...) have no words here: a whole clause counts as
    one. Their error rate is that of the characters.

    Args:
        text: any text.
        language: ISO 639 code, also of a region or script ("pt-BR", "fra_Latn"); empty where unknown, which is as most
            languages.
    """
    language = primary_language(language)
    elided, is_final_letter = ELIDED_WORDS.get(language), language in FINAL_APOSTROPHE
    text = text.translate(TURNED_COMMA) if is_final_letter else text
    text = _lower_case(unicodedata.normalize("NFKC", text.translate(APOSTROPHES)).translate(APOSTROPHES), language)
    keeps_final = is_final_letter or elided is not None
    text = NEITHER_WORD_NOR_SPACE.sub(lambda match: _replacement(text, match.start(), keeps_final), text)
    # Lower case can leave what NFKC would compose.
    words = unicodedata.normalize("NFKC", text).split()
    if elided is not None:
        words = [part for word in words for part in _separate(word, elided)]
    return " ".join(words)


def normaliser_signature(languages: Iterable[str]) -> str:
    """Version and rules of what was normalised, as in `norm:3|apostrophe:elision[fr,it]+within` and `norm:3|apostrophe:within|i:dotless[tr]`.

    Args:
        languages: the codes of all texts; those without a rule of their own are "within", and not listed.
    """
    rules: dict[str, set[str]] = {}
    known = set(map(primary_language, languages))
    for language in known:
        rule = "elision" if language in ELIDED_WORDS else "final" if language in FINAL_APOSTROPHE else "within"
        rules.setdefault(rule, set()).add(language)
    names = [rule if rule == "within" else f"{rule}[{','.join(sorted(rules[rule]))}]" for rule in sorted(rules)]
    dotless = f"|i:dotless[{','.join(sorted(known & DOTLESS_I))}]" if known & DOTLESS_I else ""
    return f"norm:{NORMALISER_VERSION}|apostrophe:{'+'.join(names) or 'within'}{dotless}"


def normaliser_version(signature: str) -> int:
    """The version of the normaliser in a metric's signature; 0 where no text was normalised."""
    found = re.search(r"\bnorm:(\d+)", signature)
    return int(found[1]) if found else 0


def _lower_case(text: str, language: str) -> str:
    if language in DOTLESS_I:
        text = text.translate(CAPITALS_OF_TWO_I)
    text = text.lower()
    if language == "lt":
        text = unicodedata.normalize("NFC", REDUNDANT_DOT.sub("", text))
    return text


def _separate(word: str, elided: Collection[str]) -> list[str]:
    """The parts of a word in a language with elision; a final apostrophe of another word was a quotation mark."""
    parts: list[str] = []
    while word:
        start, apostrophe, rest = word.partition("'")
        if not apostrophe or start not in elided:
            return [*parts, word.rstrip("'")]
        parts.append(f"{start}'")
        word = rest
    return parts


def _replacement(text: str, position: int, keeps_final: bool) -> str:
    character = text[position]
    if character == "'" and _in_word(text, position - 1) and (keeps_final or _in_word(text, position + 1)):
        return character
    return " " if unicodedata.category(character)[0] in "PS" else character


def _in_word(text: str, position: int) -> bool:
    return 0 <= position < len(text) and unicodedata.category(text[position])[0] in "LNM"
