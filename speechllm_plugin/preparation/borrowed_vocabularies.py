"""The vocabularies of another data folder, for a corpus that a model trained there is to be tested on or trained on further."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.preparation import vocabulary
from speechllm_plugin.preparation.settings import check_files

FLAG = "--vocab-from"


class BorrowedVocabularies(NamedTuple):
    """What a data folder lends.

    target, transcript: its files, without suffix; the second is None where it has no transcripts.
    tags: the language tags that its targets begin with; none where they have no tags.
    """

    target: Path
    transcript: Path | None
    tags: tuple[str, ...]


def borrow(folder: Path, languages: Collection[str]) -> BorrowedVocabularies:
    """The vocabularies of a data folder for targets in some languages.

    Raises:
        FileNotFoundError: it is no data folder, or lacks a file.
        ValueError: its vocabularies are not SentencePiece's, cannot be read, or have no tag for one of several languages.
    """
    config = DataConfig.load(folder / "config.yaml")
    target = _prefix(folder, config.vocab_filename, config.bpe_tokenizer)
    transcript = None
    if config.transcript_vocab_filename is not None:
        transcript = _prefix(folder, config.transcript_vocab_filename, config.transcript_bpe_tokenizer)
    tags = tuple(vocabulary.tags_of(target)) if config.prepend_tgt_lang_tag else ()
    missing = sorted(language for language in languages if vocabulary.language_tag(language) not in tags)
    if config.prepend_tgt_lang_tag and missing:
        raise ValueError(
            f"{FLAG} {folder}: its targets begin with {' '.join(tags)}, but the corpus has targets in {' '.join(missing)}: leave these out"
        )
    if not tags and len(languages) > 1:
        raise ValueError(
            f"{FLAG} {folder}: its targets have no tags, so that its models write one language, but the corpus has targets in "
            f"{' '.join(sorted(languages))}: prepare one folder for each"
        )
    return BorrowedVocabularies(target, transcript, tags)


def _prefix(folder: Path, dictionary: str, bpe_tokenizer: dict[str, Any] | None) -> Path:
    """The common name of the two files, without suffix."""
    prefix = folder / Path(dictionary).with_suffix("")
    if bpe_tokenizer is None or Path(bpe_tokenizer.get("sentencepiece_model", "")).name != f"{prefix.name}.model":
        raise ValueError(
            f"{folder / 'config.yaml'}: {FLAG} takes SentencePiece vocabularies (NAME.model and NAME.txt) only, but it names {dictionary}"
        )
    check_files(prefix, FLAG)
    vocabulary.load_model(prefix)
    return prefix
