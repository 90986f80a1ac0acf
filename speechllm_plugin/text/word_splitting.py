"""The words of a text, for all that counts words."""

import regex

from speechllm_plugin.text.normalisation import normalise

# Scripts that put no blank between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese): every letter counts as a word, with the combining
# marks that belong to it. U+30FC is the long vowel mark of both Japanese syllabaries.
WRITTEN_WITHOUT_BLANKS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*")


def words_of(text: str, language: str = "") -> list[str]:
    """The words of the normalised text: what stands between blanks, and every letter of a script that is written without them.

    Args:
        language: code of the text's language, for the normalisation; empty where unknown.
    """
    return WRITTEN_WITHOUT_BLANKS.sub(r" \g<0> ", normalise(text, language)).split()
