"""SentencePiece vocabularies and their fairseq dictionaries.

A vocabulary keeps every text: what it writes is what was put in, with one blank in place of each white space. SentencePiece's own rules
(NFKC) would write "..." for an ellipsis, and half-width for full-width punctuation, so that no output could equal a reference with them.
"""

import io
import logging
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sentencepiece

from speechllm_plugin.files import digests
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.text.white_space import with_single_blanks

logger = logging.getLogger(__name__)

# fairseq's Dictionary puts these four first by itself, so its file starts with the piece after them.
SPECIAL_IDS: dict[str, Any] = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}

_TOO_LARGE = re.compile(r"Vocabulary size too high .* <= (\d+)")
_TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")

_NO_TEXT = re.compile(r"sentences_\.empty|all_chars_count")
_LARGEST = 1_000_000  # pieces that SentencePiece begins with

MAX_BYTES = 4192  # of a training text; SentencePiece's own default
VOCABULARY_SUFFIXES = (".model", ".txt")


def language_tag(language: str) -> str:
    """The piece that starts a target in a language, as fairseq writes it."""
    return f"<lang:{language}>"


def train(prefix: str | Path, texts: Iterable[str], size: int, flag: str, tags: Sequence[str] = ()) -> None:
    """Write `prefix.model` (SentencePiece unigram) and `prefix.txt` (fairseq dictionary); the same texts give the same files.

    Args:
        texts: those longer than MAX_BYTES are not learnt from.
        size: number of pieces, the four special ones and the tags included.
        flag: command-line flag that set the size, for errors.
        tags: pieces that are there whatever the texts.

    Raises:
        ValueError: the texts have too few different pieces or too many different characters for this size, or are no use otherwise.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_learnable(texts, Path(prefix).name), model_writer=model, model_type="unigram",
            vocab_size=min(max(size, len(SPECIAL_IDS)), _LARGEST), normalization_rule_name="identity", character_coverage=1.0,
            max_sentence_length=MAX_BYTES, minloglevel=2, user_defined_symbols=list(tags), **SPECIAL_IDS,
        )  # fmt: skip
    except RuntimeError as error:
        raise ValueError(_reason(str(error), size, flag)) from error
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    pieces = [processor.id_to_piece(index) for index in range(len(SPECIAL_IDS), processor.get_piece_size())]
    with replacing(f"{prefix}.model") as part:
        part.write_bytes(model.getvalue())
    with replacing(f"{prefix}.txt") as part:
        part.write_text("".join(f"{piece} 1\n" for piece in pieces), encoding="utf-8")


def copy(source: str | Path, prefix: str | Path) -> None:
    """Write the two files of a vocabulary under another prefix, byte for byte."""
    for suffix in VOCABULARY_SUFFIXES:
        with replacing(f"{prefix}{suffix}") as part:
            shutil.copyfile(f"{source}{suffix}", part)


def size_of(prefix: str | Path) -> int:
    """The number of pieces of a vocabulary, from its dictionary."""
    return len(SPECIAL_IDS) + Path(f"{prefix}.txt").read_bytes().count(b"\n")


def load_model(prefix: str | Path) -> sentencepiece.SentencePieceProcessor:
    """The SentencePiece model of a vocabulary.

    Raises:
        ValueError: it cannot be read.
    """
    path = f"{prefix}.model"
    try:
        return sentencepiece.SentencePieceProcessor(model_file=path)
    except (RuntimeError, OSError) as error:
        raise ValueError(f"{path}: not readable as a SentencePiece model; restore it, or prepare its folder again") from error


def tags_of(prefix: str | Path) -> list[str]:
    """The language tags of a vocabulary, in its order.

    Raises:
        ValueError: its dictionary is no text.
    """
    path = Path(f"{prefix}.txt")
    try:
        types = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be a dictionary in UTF-8, but is not; restore it, or prepare its folder again") from error
    return [symbol for symbol in (line.rsplit(" ", 1)[0] for line in types) if symbol.startswith("<lang:")]


def digest(prefix: str | Path) -> str:
    """A digest of both files."""
    return digests.digest(Path(f"{prefix}{suffix}").read_bytes() for suffix in VOCABULARY_SUFFIXES)


def _learnable(texts: Iterable[str], name: str) -> Iterator[str]:
    """The texts that are short enough, with single blanks; a warning says how many are not."""
    too_long = 0
    for text in map(with_single_blanks, texts):
        if len(text.encode()) <= MAX_BYTES:
            yield text
        else:
            too_long += 1
    if too_long:
        logger.warning(f"{name}: {too_long:,} texts are longer than {MAX_BYTES} bytes: no pieces are learnt from them; split such rows")


def _reason(error: str, size: int, flag: str) -> str:
    """What SentencePiece's error means to who gave the flag."""
    for pattern, bound in ((_TOO_LARGE, "at most"), (_TOO_SMALL, "at least")):
        limit = pattern.search(error)
        if limit:
            return f"{flag} must be {bound} {limit[1]} for these training texts, but is {size}"
    if _NO_TEXT.search(error):
        return f"no training text can be learnt from: all are empty, longer than {MAX_BYTES} bytes, or have SentencePiece's own character ▅"
    return f"{flag} {size}: SentencePiece can make no vocabulary of these training texts ({error.strip()}); correct them"
