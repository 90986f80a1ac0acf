"""SentencePiece vocabularies and their fairseq dictionaries."""

import io
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece

from speechllm_plugin.files import digests
from speechllm_plugin.files.atomic import replacing

# fairseq's Dictionary puts these four first by itself, so its file starts with the piece after them.
SPECIAL_IDS: dict[str, Any] = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}

_TOO_LARGE = re.compile(r"Vocabulary size too high .* <= (\d+)")
_TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")

VOCABULARY_SUFFIXES = (".model", ".txt")


def language_tag(language: str) -> str:
    """The piece that starts a target in a language, as fairseq writes it."""
    return f"<lang:{language}>"


def train(prefix: str | Path, texts: Iterable[str], size: int, flag: str, tags: Sequence[str] = ()) -> None:
    """Write `prefix.model` (SentencePiece unigram) and `prefix.txt` (fairseq dictionary); the same texts give the same files.

    Args:
        size: number of pieces, the four special ones and the tags included.
        flag: command-line flag that set the size, for errors.
        tags: pieces that are there whatever the texts.

    Raises:
        ValueError: the texts have too few different pieces or too many different characters for this size.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=model, model_type="unigram", vocab_size=size,
            character_coverage=1.0, minloglevel=2, user_defined_symbols=list(tags), **SPECIAL_IDS,
        )  # fmt: skip
    except RuntimeError as error:
        for pattern, bound in ((_TOO_LARGE, "at most"), (_TOO_SMALL, "at least")):
            limit = pattern.search(str(error))
            if limit:
                raise ValueError(f"{flag} must be {bound} {limit[1]} for these training texts, but is {size}") from error
        raise
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


def digest(prefix: str | Path) -> str:
    """A digest of both files."""
    return digests.digest(Path(f"{prefix}{suffix}").read_bytes() for suffix in VOCABULARY_SUFFIXES)
