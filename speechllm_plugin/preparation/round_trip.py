"""Texts that a vocabulary cannot write as they are: no output of a model with it can equal such a reference."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from speechllm_plugin.preparation import vocabulary
from speechllm_plugin.text.listing import first_few
from speechllm_plugin.text.white_space import with_single_blanks

BLANK = "\u2581"  # SentencePiece's
_TEXTS_AT_ONCE = 1000
_SHOWN = 60  # characters of a text


@dataclass
class LostTexts:
    """Those of some texts that do not survive a vocabulary.

    number: of all texts.
    changed: (place, text, what it becomes) of those; unknown pieces become <unk>.
    unknown: how often they have each character that the vocabulary lacks.
    """

    number: int = 0
    changed: list[tuple[str, str, str]] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, prefix: str | Path, places: Sequence[str], texts: Sequence[str]) -> Self:
        """Put texts through the vocabulary PREFIX.model as training and decoding do; white space between words counts as one blank."""
        model = vocabulary.load_model(prefix)
        known = {model.id_to_piece(index) for index in range(model.get_piece_size())}
        found = cls(len(texts))
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            batch = [with_single_blanks(text) for text in texts[start : start + _TEXTS_AT_ONCE]]
            for place, text, pieces in zip(places[start:], batch, model.encode(batch, out_type=str)):
                if written(pieces) == text and known.issuperset(pieces):
                    continue
                unknown = [piece for piece in pieces if piece not in known]
                found.unknown.update(character for piece in unknown for character in piece)
                found.changed.append((place, text, written("<unk>" if piece in unknown else piece for piece in pieces)))
        return found

    def described(self, name: str, what: str) -> str:
        """One line for people; empty if all texts survive.

        Args:
            name: of the vocabulary.
            what: the texts.
        """
        if not self.changed:
            return ""
        characters = [f"{character} ({code_point(character)})" for character, _ in self.unknown.most_common()]
        lacks = f"; it lacks the characters {first_few(characters)}" if characters else ""
        place, text, becomes = self.changed[0]
        example = f"{place}: {_around_difference(text, becomes)!r} becomes {_around_difference(becomes, text)!r}"
        return f"{name} cannot write {len(self.changed):,} of {self.number:,} {what} as they are{lacks}; {example}"


def written(pieces: Iterable[str]) -> str:
    """The text of pieces as fairseq joins them."""
    return "".join(pieces).replace(BLANK, " ").strip()


def code_point(character: str) -> str:
    """U+0301 COMBINING ACUTE ACCENT, by which one knows a character that a terminal does not show."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()


def _around_difference(text: str, other: str) -> str:
    start = next((number for number, (one, another) in enumerate(zip(text, other)) if one != another), min(len(text), len(other)))
    start = max(0, start - _SHOWN // 2)
    return f"{'...' if start else ''}{text[start : start + _SHOWN]}{'...' if len(text) > start + _SHOWN else ''}"
