"""The files of a vocabulary, read for training and decoding: a dictionary of fairseq, and the SentencePiece model whose pieces it has.

Where the two are not of one vocabulary, texts become `<unk>`, and a model that learns those trains without any error.
"""

import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fairseq.data import Dictionary, encoders
from sentencepiece import SentencePieceProcessor

from speechllm_plugin.text.one_line import excerpt

# What dictionaries may have beside the pieces: tags of languages, masks, and what fairseq fills them up with.
NO_PIECE = re.compile(r"<.*>|\[.*\]|madeupword\d+")


def load_dictionary(path: Path) -> Dictionary:
    """The types of a dictionary's file.

    Raises:
        ValueError: it is no such file, a type stands twice, or there is none.
    """
    try:
        dictionary = Dictionary.load(str(path))
    except Exception as error:  # fairseq raises just this for a file that is not UTF-8
        raise ValueError(f"{path}: not readable as a dictionary of fairseq ({' '.join(str(error).split())}): prepare the data again") from error
    if len(dictionary) == dictionary.nspecial:
        raise ValueError(f"{path}: the dictionary must have types, but has none: prepare the data again")
    return dictionary


def build_bpe(settings: Mapping[str, Any], dictionary: Dictionary) -> Any:
    """What splits words into the types of a dictionary.

    Args:
        settings: bpe_tokenizer of a data configuration.

    Raises:
        ValueError: the file of a SentencePiece model cannot be read, or is not that of the dictionary.
    """
    if settings.get("bpe") != "sentencepiece":
        return _built("bpe_tokenizer", encoders.build_bpe, settings)
    path = settings.get("sentencepiece_model")
    if not isinstance(path, str) or not Path(path).is_file():
        raise ValueError(f"sentencepiece_model must be the file of a SentencePiece model, but is {path!r}: correct it, or prepare the data again")
    try:
        bpe = encoders.build_bpe(Namespace(**settings))
    except (RuntimeError, OSError) as error:
        reason = f"{error}".rpartition(":")[2].strip() or "unknown"
        raise ValueError(f"{path}: not readable as a SentencePiece model ({reason}): prepare the data again") from error
    _check_same_vocabulary(dictionary, bpe.sp, path)
    return bpe


def build_pre_tokenizer(settings: Mapping[str, Any]) -> Any:
    """What fairseq does to a text before it is split into types.

    Args:
        settings: pre_tokenizer of a data configuration.

    Raises:
        ValueError: there is no such tokenizer, or it needs other settings.
    """
    return _built("pre_tokenizer", encoders.build_tokenizer, settings)


def _built(key: str, build: Callable[[Namespace], Any], settings: Mapping[str, Any]) -> Any:
    try:
        return build(Namespace(**settings))
    except (KeyError, AttributeError, TypeError, OSError, ImportError) as error:  # of a name that is unknown, a setting or a file that is missing
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"{key} in the data configuration is not one that fairseq can build ({reason}): {excerpt(settings)}; correct it") from error


def _check_same_vocabulary(dictionary: Dictionary, model: SentencePieceProcessor, path: str) -> None:
    pieces = [model.id_to_piece(index) for index in range(model.get_piece_size()) if not (model.is_control(index) or model.is_unknown(index))]
    types = dictionary.symbols[dictionary.nspecial :]
    known = set(pieces)
    strange = [symbol for symbol in types if symbol not in known and not NO_PIECE.fullmatch(symbol)]
    missing = [piece for piece in pieces if piece not in dictionary.indices]
    # A dictionary that fairseq has counted from texts has no type that these do not have.
    if not strange and max(dictionary.count[dictionary.nspecial :]) > 1:
        missing = []
    for found, problem in (
        (strange, f"the dictionary has {len(strange):,} types of {len(types):,} that are no pieces of the model"),
        (missing, f"the dictionary lacks {len(missing):,} of the model's {len(pieces):,} pieces"),
    ):
        if found:
            raise ValueError(
                f"{path}: this SentencePiece model and its dictionary are of two vocabularies: {problem} (as {found[0]!r}), so that texts "
                "would become <unk>: take both files from one data folder"
            )
