"""Blanks between words."""


def with_single_blanks(text: str) -> str:
    """The text with one blank for whatever white space stands between words, and none around it.

    A no-break space before a French exclamation mark and the wide space of Chinese are white space, too. fairseq separates tokens at
    it, so that no token can hold any; the metrics count words the same with either.
    """
    # Most texts have them already. Of white space, only the blank is printable.
    if text.isprintable() and "  " not in text and not text.startswith(" ") and not text.endswith(" "):
        return text
    return " ".join(text.split())
