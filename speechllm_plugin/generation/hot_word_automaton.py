"""How many characters of a text belong to hot words, told character by character.

Hot words cover the text where it has them, between word boundaries and without overlaps; the last one may be just begun. The coverage of
a text is the most characters that can be covered so. A word that goes on otherwise than the list has it is uncovered again, as is one
that the text ends in. Words that share parts, phrases and languages without blanks are no special cases.

The automaton is the trie of the words with the best coverage of every choice that is still open: a max-plus automaton, made
deterministic as far as texts go.
"""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from speechllm_plugin.text.word_splitting import WRITTEN_WITHOUT_BLANKS

MARK_OF_BLANK = "▁"  # SentencePiece's mark
ROOT = 0  # node of the trie


class State(NamedTuple):
    """What a text so far means for its continuation.

    is_in_word: its last character is a letter of a script with blanks, which another such letter goes on with.
    begun: (node, coverage) of every hot word that may be going on, relative to the coverage without any of them; sorted.
    """

    is_in_word: bool
    begun: tuple[tuple[int, int], ...] = ()

    def coverage(self) -> int:
        """Of the best choice, relative to that without a begun word."""
        return max([0, *(coverage for _, coverage in self.begun)])


class HotWordAutomaton:
    """Coverage of texts by words or phrases. The first state of a text is State(is_in_word=False)."""

    def __init__(self, words: Sequence[str]):
        self.children: list[dict[str, int]] = [{}]
        self.is_complete = [False]
        for word in words:
            node = ROOT
            for character in spelled(word):
                if character not in self.children[node]:
                    self.children[node][character] = len(self.children)
                    self.children.append({})
                    self.is_complete.append(False)
                node = self.children[node][character]
            self.is_complete[node] = True

    def step(self, state: State, character: str) -> tuple[State, int]:
        """The state after one more character, and what it adds to the coverage; negative where a word is uncovered."""
        is_boundary = not joins(state.is_in_word, character)
        settled = self.settled(state, is_boundary)
        begun: dict[int, int] = {}
        for node, coverage in (*state.begun, *([(ROOT, settled)] if is_boundary else [])):
            child = self.children[node].get(character)
            if child is not None:
                begun[child] = max(coverage + 1, begun.get(child, coverage + 1))
        after = State(goes_on(state.is_in_word, character), tuple(sorted((node, coverage - settled) for node, coverage in begun.items())))
        return after, settled + after.coverage() - state.coverage()

    def settled(self, state: State, is_boundary: bool) -> int:
        """The coverage once no begun word goes on: that of a complete one, at a word boundary."""
        return max([0, *(coverage for node, coverage in state.begun if is_boundary and self.is_complete[node])])

    def end(self, state: State) -> int:
        """What the end of the text adds."""
        return self.settled(state, is_boundary=True) - state.coverage()

    def goes_on_with(self, state: State) -> set[str]:
        """The characters with which some begun word goes on."""
        return {character for node, _ in state.begun for character in self.children[node]}


def spelled(text: str) -> str:
    """A text as pieces spell it."""
    return text.replace(" ", MARK_OF_BLANK)


def joins(is_in_word: bool, character: str) -> bool:
    """Whether there is no word boundary before a character: a mark belongs to what it follows, a letter to the word that it goes on with."""
    kind = unicodedata.category(character)[0]
    return kind == "M" or (is_in_word and kind in "LN" and not WRITTEN_WITHOUT_BLANKS.match(character))


def goes_on(is_in_word: bool, character: str) -> bool:
    """The `is_in_word` of a text after a character."""
    kind = unicodedata.category(character)[0]
    return is_in_word if kind == "M" else kind in "LN" and not WRITTEN_WITHOUT_BLANKS.match(character)
