"""Hot words in a search: a bonus for every character of a text that they cover, taken back with its coverage.

Shapes: B sentences   K hypotheses per sentence   V vocabulary; those of the tables are in hot_word_tables.py.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from speechllm_plugin.generation.hot_word_tables import TokenTables


class HotWords:
    """Words that searches favour.

    Args:
        words: words or phrases, as a text has them; their first letter may be a capital as well.
        texts: (V,) of the tokens, as SentencePiece writes them; None for those that are no text.
        eos: the token that ends a text.
        bonus: added to the log probability of a text for every character of it that belongs to a hot word; see hot_word_automaton.py.

    Attributes:
        unwritable: words that no tokens can write; they have no effect.
    """

    def __init__(self, words: Sequence[str], texts: Sequence[str | None], eos: int, bonus: float):
        tables = TokenTables(words, texts, eos)
        self.unwritable = tables.unwritable
        self.row, self.different, self.is_in_word = map(torch.from_numpy, (tables.row, tables.different, tables.is_in_word))
        self.coverage, self.extra = bonus * torch.from_numpy(tables.coverage), bonus * torch.from_numpy(tables.extra)
        self.plain_next, self.goes_on, self.next = map(torch.from_numpy, (tables.plain_next, tables.goes_on, tables.next))

    def start(self, num_sentences: int, num_hypotheses: int, device: torch.device) -> "HotWordScores":
        """What a search over a batch keeps. The tables stay on the device that they are once used on."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return HotWordScores(self, torch.zeros(num_sentences, num_hypotheses, dtype=torch.long, device=device))


class HotWordScores:
    """The bonus of every continuation. state: (B, K) of each hypothesis, a number of the tables."""

    def __init__(self, words: HotWords, state: Tensor):
        self.words, self.state = words, state

    def add_to(self, scores: Tensor) -> Tensor:
        """Add the bonus of every token, in place; returns `scores` (B, K, V) float32."""
        state = self.state.flatten()
        scores += self.words.coverage.index_select(0, self.words.row[state]).view_as(scores)
        return scores.scatter_add_(2, self.words.different[state].view(*self.state.shape, -1), self.words.extra[state].view(*self.state.shape, -1))

    def advance(self, source_beam: Tensor, token: Tensor) -> None:
        """Hypothesis k becomes hypothesis source_beam[b, k] followed by token[b, k]; both (B, K)."""
        state = self.state.gather(1, source_beam)
        plain = self.words.plain_next[self.words.is_in_word[state], token]
        pair = state * self.words.plain_next.size(1) + token
        place = torch.searchsorted(self.words.goes_on, pair)
        self.state.copy_(torch.where(self.words.goes_on[place] == pair, self.words.next[place], plain))

    def select(self, sentences: Tensor) -> None:
        """Keep the given sentences, a (B',) list of rows, in this order."""
        self.state = self.state.index_select(0, sentences)
