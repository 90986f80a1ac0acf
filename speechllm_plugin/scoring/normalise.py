"""The text normalisation of the normalised word and character error rates."""

import re
import unicodedata

# Raise it with every change of what `normalise` returns: it is part of the metrics' signature.
NORMALISER_VERSION = 1

# Ways to write an apostrophe: right and left quotation mark, modifier letter, and the two spacing accents that keyboards
# offer instead. Mapped before NFKC, which would make a space and a combining accent of the acute.
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4\u0060\uff07", "'"))

NEITHER_WORD_NOR_SPACE = re.compile(r"[^\w\s]|_")


def normalise(text):
    """The text in lower case without punctuation and symbols, words separated by one space.

    Unicode form NFKC, lower case, then every character of the categories P* and S* becomes a space, so that words joined
    by a dash stay two words. An apostrophe between letters, digits or marks stays, as U+0027 however it was written:
    "Don’t!" and "don't" are the same, "dogs’" and "dogs" too. Letters keep their accents; marks are not removed.
    Applying it twice changes nothing.
    """
    text = unicodedata.normalize("NFKC", text.translate(APOSTROPHES)).lower()
    text = NEITHER_WORD_NOR_SPACE.sub(lambda match: _replacement(text, match.start()), text)
    # Lower case can leave what NFKC would compose.
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _replacement(text, position):
    character = text[position]
    if character == "'" and _in_word(text, position - 1) and _in_word(text, position + 1):
        return character
    return " " if unicodedata.category(character)[0] in "PS" else character


def _in_word(text, position):
    return 0 <= position < len(text) and unicodedata.category(text[position])[0] in "LNM"
