"""--hot-words: the part of a search that favours the words of a file, or an error that says why it cannot."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from fairseq.data.encoders.sentencepiece_bpe import SentencepieceBPE

from speechllm_plugin.generation.hot_word_automaton import MARK_OF_BLANK
from speechllm_plugin.generation.hot_words import HotWords
from speechllm_plugin.tasks.text_codec import TextCodec
from speechllm_plugin.text import hot_word_list
from speechllm_plugin.text.listing import first_few

logger = logging.getLogger(__name__)

DEFAULT_BONUS = 1.0  # docs/hot-words.md has what others do


def hot_words(path: str | None, bonus: float | None, target: TextCodec, unserved: list[str]) -> HotWords | None:
    """What the search needs to favour the words of a file; None without a file, or where it has no words.

    Args:
        bonus: of a character; None is DEFAULT_BONUS.
        unserved: why fairseq's generator, which knows no hot words, would be used.

    Raises:
        FileNotFoundError, ValueError: a bonus without a file, no such file, one that is not UTF-8, or the bonus, the vocabulary or another
            option does not allow it.
    """
    if path is not None and unserved:
        raise ValueError(f"--hot-words is not served together with {', '.join(unserved)}: leave one of them out")
    if path is None and bonus is not None:
        raise ValueError(f"--hot-word-bonus {bonus} has an effect only with --hot-words: leave it out")
    return favour(() if path is None else listed_words(path), bonus, target)


def listed_words(path: str | Path) -> Sequence[str]:
    """The words of a file, with a line in the log about what was read; see hot_word_list.read."""
    listed = hot_word_list.read(path)
    is_clean = listed.words and not (listed.num_blank or listed.num_doubled)
    logger.log(logging.INFO if is_clean else logging.WARNING, listed.summary() + ("" if listed.words else ": decoding goes on without"))
    return listed.words


def favour(words: Sequence[str], bonus: float | None, target: TextCodec) -> HotWords | None:
    """The words for a search that writes with a vocabulary; None where there are none.

    Args:
        bonus: of a character; None is DEFAULT_BONUS.

    Raises:
        ValueError: the bonus is not positive and finite, or the types of the vocabulary are neither words nor SentencePiece's pieces.
    """
    if bonus is not None and not 0 < bonus < math.inf:
        raise ValueError(f"--hot-word-bonus must be positive and finite, but is {bonus}")
    if not words:
        return None
    if target.bpe is not None and not isinstance(target.bpe, SentencepieceBPE):
        kind = type(target.bpe).__name__
        raise ValueError(f"--hot-words needs a vocabulary of SentencePiece's pieces or of words, but the data configuration's is of {kind}")
    if target.tokenizer is not None:
        words = [target.tokenizer.encode(word) for word in words]
    dictionary, mark = target.dictionary, "" if target.bpe is not None else MARK_OF_BLANK
    no_text = {*range(dictionary.nspecial), *target.tags}
    texts = [None if token in no_text else mark + symbol for token, symbol in enumerate(dictionary.symbols)]
    favoured = HotWords(words, texts, dictionary.eos(), DEFAULT_BONUS if bonus is None else bonus)
    if favoured.unwritable:
        missing = f"{len(favoured.unwritable):,} of {len(words):,} hot words cannot be written with the pieces of the vocabulary"
        logger.warning(f"{missing} and have no effect: {first_few(favoured.unwritable)}")
    return favoured
