"""What every token does in every state of the hot words, as tables of numbers that a search looks up.

The automaton of the words reads characters, a search chooses tokens: so a word counts however the vocabulary splits it. Most tokens end a
begun word whatever it was, so that many states share a row of what the tokens add, and have a short list of tokens that differ.

Shapes: V vocabulary   Q states   R rows   E tokens that differ from the row, at most   D pairs of a state and a token that goes on in a word.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from speechllm_plugin.generation.hot_word_automaton import MARK_OF_BLANK, HotWordAutomaton, State, joins, spelled

LONGEST_LIST = 32  # E: a state with more tokens that differ has a row of its own
NO_TEXT = "\ufffd"  # what tokens that are no text count as: nothing that a word goes on with
ROOTS = (State(is_in_word=False), State(is_in_word=True))  # the first two states: those without a begun word

Reached = tuple[State, int]  # and the coverage that was added on the way


@dataclass
class Beginning:
    """What tokens may begin with: the tokens that are just this, and how others go on."""

    tokens: list[int] = field(default_factory=list)
    longer: dict[str, "Beginning"] = field(default_factory=dict)


class TokenTables:
    """The tables of one list of words and one vocabulary.

    Args:
        words: words or phrases, as the text has them.
        texts: (V,) of the tokens, with MARK_OF_BLANK; None for those that are no text.
        eos: the token that ends a text.

    Attributes:
        unwritable: words that no tokens can write; they have no effect.
        row: (Q,) of each state.
        coverage: (R, V) float32, what a token adds to the coverage of the text in the states of a row.
        different: (Q, E) tokens; where there are fewer, eos with nothing extra.
        extra: (Q, E) float32, their coverage beyond that of the row.
        is_in_word: (Q,) 0 or 1.
        plain_next: (2, V) the state after a token that ends what was begun, by is_in_word.
        goes_on: (D + 1,) state * V + token of all other pairs, increasing; the last is none, and larger.
        next: (D + 1,) the state after each.
    """

    def __init__(self, words: Sequence[str], texts: Sequence[str | None], eos: int):
        spellings = [text or NO_TEXT for text in texts]
        pieces, longest = set(spellings), max(map(len, spellings))
        forms = {word: writable_forms(word, pieces, longest) for word in words}
        self.unwritable = [word for word in words if not forms[word]]
        self.automaton = HotWordAutomaton(sum(forms.values(), []))
        self.step = functools.cache(self.automaton.step)
        self.beginnings = Beginning()
        for token, spelling in enumerate(spellings):
            if token != eos:
                beginning = self.beginnings
                for character in spelling:
                    beginning = beginning.longer.setdefault(character, Beginning())
                beginning.tokens.append(token)
        self.fill(eos, np.array([[token != eos and joins(root.is_in_word, text[0]) for token, text in enumerate(spellings)] for root in ROOTS]))

    def fill(self, eos: int, joined: np.ndarray) -> None:
        """Make the tables, state by state as tokens reach them. joined: (2, V) whether a token goes on with the word before it."""
        vocab_size = joined.shape[1]
        states, numbers = list(ROOTS), {root: number for number, root in enumerate(ROOTS)}

        def number_of(state: State) -> int:
            if state not in numbers:
                numbers[state] = len(states)
                states.append(state)
            return numbers[state]

        plain = np.zeros((2, vocab_size), np.float32)
        self.plain_next = np.zeros((2, vocab_size), np.int64)
        for number, root in enumerate(ROOTS):
            for token, (state, gain), _ in self.reached(self.beginnings, (root, 0), None):
                plain[number, token], self.plain_next[number, token] = gain, number_of(state)

        rows: dict[tuple[bool, int, int], int] = {}
        coverage: list[np.ndarray] = []
        lists: list[dict[int, int]] = []
        row, goes_on = [], {}
        for number, state in enumerate(states):  # which grow on the way
            lost, kept = -state.coverage(), self.automaton.end(state)
            kind = state.is_in_word, lost, kept
            if kind not in rows:
                rows[kind] = len(coverage)
                coverage.append(plain[int(state.is_in_word)] + np.where(joined[int(state.is_in_word)], lost, kept).astype(np.float32))
            different = {}
            for token, (after, gain), otherwise in self.going_on(state):
                goes_on[number * vocab_size + token] = number_of(after)
                if gain != otherwise:
                    different[token] = gain - otherwise
            row.append(rows[kind])
            if len(different) > LONGEST_LIST:
                row[-1] = len(coverage)
                coverage.append(coverage[rows[kind]].copy())
                coverage[-1][list(different)] += list(different.values())
                different = {}
            lists.append(different)

        longest = max(map(len, lists))
        self.row, self.coverage, self.is_in_word = np.array(row), np.stack(coverage), np.array([int(state.is_in_word) for state in states])
        self.different = np.array([[*each, *[eos] * (longest - len(each))] for each in lists]).reshape(len(lists), longest)
        self.extra = np.array([[*each.values(), *[0] * (longest - len(each))] for each in lists], np.float32).reshape(len(lists), longest)
        self.goes_on = np.array([*sorted(goes_on), len(states) * vocab_size])
        self.next = np.array([*(goes_on[pair] for pair in sorted(goes_on)), 0])

    def going_on(self, state: State) -> Iterator[tuple[int, Reached, int]]:
        """The tokens after which a state is not as if all begun words had ended before: token, what is reached, and the coverage added else."""
        for character in sorted(self.automaton.goes_on_with(state) & self.beginnings.longer.keys()):
            settled = self.automaton.settled(state, is_boundary=not joins(state.is_in_word, character))
            plain = self.read((ROOTS[state.is_in_word], settled - state.coverage()), character)
            yield from self.reached(self.beginnings.longer[character], self.read((state, 0), character), plain)

    def reached(self, beginning: Beginning, here: Reached, plain: Reached | None) -> Iterator[tuple[int, Reached, int]]:
        """What the tokens with this beginning reach from here, and the coverage from `plain`; nothing where it is no other there."""
        if here == plain:
            return
        for token in beginning.tokens:
            yield token, here, plain[1] if plain else 0
        for character, longer in beginning.longer.items():
            yield from self.reached(longer, self.read(here, character), plain and self.read(plain, character))

    def read(self, reached: Reached, character: str) -> Reached:
        state, gain = self.step(reached[0], character)
        return state, reached[1] + gain


def writable_forms(word: str, pieces: set[str], longest: int) -> list[str]:
    """The forms of a word that pieces can be put together to, where a text may have it.

    As it stands in the list and with a capital, for the beginning of a sentence; if neither can be written, as by a vocabulary without
    capitals, in lower case. A mixture of cases is no form: it would be a cheap way to a bonus that no text deserves.

    Args:
        longest: characters of the longest piece.
    """

    def is_writable(form: str) -> bool:
        spelling = MARK_OF_BLANK + spelled(form)
        ends = {0, 1}  # after the blank too, with which the piece before may end
        for start in range(len(spelling)):
            if start in ends:
                ends |= {end for end in range(start + 1, min(start + longest, len(spelling)) + 1) if spelling[start:end] in pieces}
        return len(spelling) in ends

    written = [form for form in dict.fromkeys([word, word[:1].upper() + word[1:]]) if is_writable(form)]
    return written or [form for form in [word.lower()] if is_writable(form)]
