"""Texts get single blanks, whatever white space they had."""

import sys

from speechllm_plugin.text.white_space import with_single_blanks


def test_every_white_space_becomes_a_blank():
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        for text in (character, f"{character}ä", f"ä{character}", f"ä{character}ö ü", f"ä {character}ö"):
            assert with_single_blanks(text) == " ".join(text.split()), hex(number)
