"""A system's texts for the rows of a manifest, from the output of fairseq-generate."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.outputs.generated_sentences import Sentence, in_rows, read_sentences

UNKNOWN_TOKEN = re.compile("<unk>|⁇")
SHARE_OF_SAME_TARGETS = 0.5  # tokenizers lose characters and spaces, never most sentences
LETTERS_SHOWN = 60


class GeneratedTexts(NamedTuple):
    """What fairseq-generate says of every row of a manifest, in its order.

    hypotheses: the best of each row.
    targets: the references as the vocabulary of the model writes them; None where they are not printed (--quiet).
    """

    hypotheses: list[str]
    targets: list[str] | None


def read_in_rows(paths: Sequence, utterances: Sequence[Utterance], manifest: str | Path) -> GeneratedTexts:
    """The texts of every row.

    Args:
        paths: one file, or the files of all shards of a test set.
        utterances: the rows of the manifest that was decoded.
        manifest: its path, to name in errors.

    Raises:
        ValueError: the files are not the output of fairseq-generate for exactly these rows.
    """
    sentences = read_sentences(paths)
    try:
        sentences = in_rows(sentences, utterances)
        check_targets(sentences, utterances)
    except ValueError as error:
        raise ValueError(f"{' '.join(map(str, paths))} against {manifest}: {error}") from error
    targets = [sentence.target for sentence in sentences if sentence.target is not None]
    return GeneratedTexts([sentence.hypotheses[0][1] for sentence in sentences], targets if len(targets) == len(sentences) else None)


def check_targets(sentences: Sequence[Sentence], utterances: Sequence[Utterance]) -> None:
    """Check that fairseq-generate decoded these rows: the targets that it prints tell a test set from another with as many rows.

    Args:
        sentences: one for every row, in order.

    Raises:
        ValueError: most of the printed targets are not the rows' tgt_text.
    """
    pairs = [
        (sentence.row, sentence.target, utterance.tgt_text)
        for sentence, utterance in zip(sentences, utterances, strict=True)
        if sentence.target is not None and not UNKNOWN_TOKEN.search(sentence.target)
    ]
    different = [pair for pair in pairs if _letters(pair[1]) != _letters(pair[2])]
    if len(different) > (1 - SHARE_OF_SAME_TARGETS) * len(pairs):
        row, text, reference = different[0]
        raise ValueError(
            f"these are hypotheses for another test set: {len(different)} of {len(pairs)} targets differ (row {row}: {text[:LETTERS_SHOWN]!r} "
            f"was decoded, the manifest has {reference[:LETTERS_SHOWN]!r}); give the manifest that was decoded, or decode again"
        )


def _letters(text: str) -> str:
    return "".join(character for character in unicodedata.normalize("NFKC", text).casefold() if character.isalnum())
