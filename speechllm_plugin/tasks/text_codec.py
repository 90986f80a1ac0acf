"""Text to token ids and back, as a data configuration says."""

from argparse import Namespace

import numpy as np
from fairseq.data import Dictionary, encoders

from speechllm_plugin.files.digests import digest


class TextCodec:
    """A dictionary with the tokenizers before it."""

    def __init__(self, dictionary: Dictionary, pre_tokenizer: dict | None, bpe_tokenizer: dict | None):
        self.dictionary = dictionary
        self.tokenizer = encoders.build_tokenizer(Namespace(**(pre_tokenizer or {"tokenizer": None})))
        self.bpe = encoders.build_bpe(Namespace(**(bpe_tokenizer or {"bpe": None})))

    def encode(self, text: str, end: list[int]) -> np.ndarray:
        """The (U,) ids of a text, and `end` behind them."""
        for part in (self.tokenizer, self.bpe):
            text = part.encode(text) if part is not None else text
        return np.array([self.dictionary.index(piece) for piece in text.split()] + end, dtype=np.int64)

    def tag(self, language: str) -> int | None:
        """The id of `<lang:language>`, or None if the vocabulary has no such tag."""
        index = self.dictionary.index(f"<lang:{language}>")
        return None if index == self.dictionary.unk() else index

    @property
    def tags(self) -> set[int]:
        """The ids of all language tags."""
        return {index for symbol, index in self.dictionary.indices.items() if symbol.startswith("<lang:")}

    def digest(self) -> str:
        """A hash of the types in their order, which tells this vocabulary from any other."""
        return digest(["\n".join(self.dictionary.symbols)])

    def renderings(self, text: str) -> list[str]:
        """The two forms in which fairseq-generate may print a text: in pieces, or put together again."""
        ids = self.encode(text, end=[])
        return [" ".join(self.dictionary[token] for token in ids), self.decode(ids)]

    def decode(self, ids: list[int]) -> str:
        text = " ".join(self.dictionary[token] for token in ids)
        for part in (self.bpe, self.tokenizer):
            text = part.decode(text) if part is not None else text
        return text
