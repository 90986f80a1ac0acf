"""Text to token ids and back, as a data configuration says."""

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fairseq.data import Dictionary
from fairseq.data.encoders.sentencepiece_bpe import SentencepieceBPE

from speechllm_plugin.files.digests import digest
from speechllm_plugin.tasks import vocabulary_files
from speechllm_plugin.text.white_space import with_single_blanks


class TextCodec:
    """A dictionary with the tokenizers before it.

    Args:
        pre_tokenizer, bpe_tokenizer: as in a data configuration; None where there is none.

    Raises:
        ValueError: the files of a tokenizer cannot be read, or are not those of the dictionary.
    """

    def __init__(self, dictionary: Dictionary, pre_tokenizer: dict | None, bpe_tokenizer: dict | None):
        self.dictionary = dictionary
        self.tokenizer = vocabulary_files.build_pre_tokenizer(pre_tokenizer) if pre_tokenizer else None
        self.bpe = vocabulary_files.build_bpe(bpe_tokenizer, dictionary) if bpe_tokenizer else None
        settings = (pre_tokenizer or {}) | (bpe_tokenizer or {})
        self.tokenizer_files = [Path(value) for _, value in sorted(settings.items()) if isinstance(value, str) and Path(value).is_file()]

    def encode(self, text: str, end: list[int]) -> np.ndarray:
        """The (U,) ids of a text, and `end` behind them."""
        text = with_single_blanks(text)
        for part in (self.tokenizer, self.bpe):
            text = part.encode(text) if part is not None else text
        return np.array([self.dictionary.index(piece) for piece in text.split()] + end, dtype=np.int64)

    def encode_all(self, texts: Sequence[str], end: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """What `encode` makes of each text: (sum of lengths,) ids of all, one text behind the other, and (texts,) lengths.

        SentencePiece encodes them together. Texts with pieces that are no types of the dictionary take the slower way.
        """
        pieces = self.types_of_pieces
        if pieces is None:
            return joined([self.encode(text, end) for text in texts])
        found = self.bpe.sp.Encode(list(map(with_single_blanks, texts)), out_type=int, num_threads=1)
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        ids = pieces[np.fromiter(itertools.chain.from_iterable(found), np.int64, lengths.sum())]
        odd = np.unique(np.searchsorted(lengths.cumsum(), np.flatnonzero(ids < 0), side="right"))
        if len(odd):
            rows = np.split(ids, lengths.cumsum()[:-1])
            for row in odd:
                rows[row] = self.encode(texts[row], end=[])
            ids, lengths = joined(rows)
        return np.insert(ids, np.repeat(lengths.cumsum(), len(end)), np.tile(end, len(lengths))), lengths + len(end)

    @functools.cached_property
    def types_of_pieces(self) -> np.ndarray | None:
        """(pieces,) the type of each of SentencePiece's pieces, -1 where a piece is none; None where something else makes the pieces."""
        if self.tokenizer is not None or not isinstance(self.bpe, SentencepieceBPE) or self.bpe.enable_sampling:
            return None
        pieces = [self.bpe.sp.IdToPiece(number) for number in range(self.bpe.sp.GetPieceSize())]
        types = np.array([self.dictionary.indices.get(piece, -1) if piece.split() == [piece] else -1 for piece in pieces])
        types[self.bpe.sp.unk_id()] = -1
        return types

    def tag(self, language: str) -> int | None:
        """The id of `<lang:language>`, or None if the vocabulary has no such tag."""
        index = self.dictionary.index(f"<lang:{language}>")
        return None if index == self.dictionary.unk() else index

    @property
    def tags(self) -> set[int]:
        """The ids of all language tags."""
        return {index for symbol, index in self.dictionary.indices.items() if symbol.startswith("<lang:")}

    def digest(self) -> str:
        """A hash of the types in their order: what the ids of a model mean."""
        return digest(["\n".join(self.dictionary.symbols)])

    def tokenizer_digest(self) -> str:
        """A hash of the tokenizers' files, such as the SentencePiece model: which ids a text becomes."""
        return digest(path.read_bytes() for path in self.tokenizer_files)

    def renderings(self, text: str) -> list[str]:
        """The two forms in which fairseq-generate may print a text: in pieces, or put together again."""
        ids = self.encode(text, end=[])
        return [" ".join(self.dictionary[token] for token in ids), self.decode(ids)]

    def decode(self, ids: list[int]) -> str:
        text = " ".join(self.dictionary[token] for token in ids)
        for part in (self.bpe, self.tokenizer):
            text = part.decode(text) if part is not None else text
        return text


def joined(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Arrays behind one another, and their lengths."""
    return np.concatenate(arrays), np.array([len(each) for each in arrays])
