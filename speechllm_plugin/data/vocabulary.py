"""SentencePiece vocabularies and their fairseq dictionaries."""

import io
import re
from collections.abc import Iterable

import sentencepiece

from speechllm_plugin.atomic_file import replacing

# fairseq's Dictionary puts these four first by itself, so its file starts with the piece after them.
SPECIAL_IDS = {"bos_id": 0, "pad_id": 1, "eos_id": 2, "unk_id": 3}

_TOO_LARGE = re.compile(r"Vocabulary size too high .* <= (\d+)")
_TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. \d+ vs (\d+)")


def train(prefix, texts: Iterable[str], size: int, flag: str) -> None:
    """Write `prefix.model` (SentencePiece unigram) and `prefix.txt` (fairseq dictionary); the same texts give the same files.

    Args:
        size: number of pieces, the four special ones included.
        flag: command-line flag that set the size, for errors.

    Raises:
        ValueError: the texts have too few different pieces or too many different characters for this size.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=model, model_type="unigram", vocab_size=size,
            character_coverage=1.0, minloglevel=2, **SPECIAL_IDS,
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
