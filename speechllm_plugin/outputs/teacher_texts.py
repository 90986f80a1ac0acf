"""A teacher's translations of the rows of a manifest, from the output of fairseq-generate."""

import unicodedata
from collections.abc import Callable, Sequence

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.outputs.generated_sentences import Sentence, in_rows, read_sentences


def read(paths: Sequence, rows: Sequence[Utterance], renderings: Callable[[str], Sequence[str]]) -> list[list[tuple[float, str]]]:
    """The hypotheses (score, text) of every row, the best first; white space in a text is single blanks.

    Args:
        paths: output of fairseq-generate; several are the shards of a split.
        rows: the manifest that was decoded.
        renderings: how a source text may stand in an S- line, besides as it is; blanks do not count.

    Raises:
        ValueError: the files are not the output of fairseq-generate for exactly these rows, a row has another number of hypotheses than
            the rest, or its S- line is not its src_text.
    """
    sentences = read_sentences(paths)
    try:
        sentences = in_rows(sentences, rows)
        _check_sources(sentences, rows, renderings)
        _check_numbers(sentences, rows)
    except ValueError as error:
        raise ValueError(f"{' '.join(map(str, paths))}: {error}") from error
    return [[(score, " ".join(text.split())) for score, text in sentence.hypotheses] for sentence in sentences]


def _check_sources(sentences: Sequence[Sentence], rows: Sequence[Utterance], renderings: Callable[[str], Sequence[str]]) -> None:
    if all(sentence.source is None for sentence in sentences):
        raise ValueError("no S- line; give a KD file, or what fairseq-generate printed for a text translation model, without --quiet")
    changed = [
        sentence
        for sentence, row in zip(sentences, rows, strict=True)
        if sentence.source is None or _compact(sentence.source) not in _possible(row.src_text, renderings)
    ]
    if changed:
        first = changed[0]
        printed = "no source" if first.source is None else repr(first.source)
        raise ValueError(
            f"the source of {len(changed):,} of {len(rows):,} translated rows is not the src_text of the row; the first is utterance "
            f"{rows[first.row].id!r} (row {first.row}): {printed} was translated, the manifest has {rows[first.row].src_text!r}: "
            "give the output of this split, and the teacher's data with --teacher-data"
        )


def _check_numbers(sentences: Sequence[Sentence], rows: Sequence[Utterance]) -> None:
    most = max(len(sentence.hypotheses) for sentence in sentences)
    fewer = [sentence for sentence in sentences if len(sentence.hypotheses) < most]
    if fewer:
        first = fewer[0]
        raise ValueError(
            f"{len(fewer):,} of {len(rows):,} rows have fewer than {most} translations, the first is utterance "
            f"{rows[first.row].id!r} (row {first.row}) with {len(first.hypotheses)}: translate again with one --nbest"
        )


def _possible(text: str, renderings: Callable[[str], Sequence[str]]) -> set[str]:
    return {_compact(form) for form in (text, unicodedata.normalize("NFKC", text), *renderings(text))}


def _compact(text: str) -> str:
    """A text without what separates its pieces: the marks of SentencePiece and subword-nmt, and blanks."""
    return "".join(text.replace("@@ ", "").replace("\u2581", " ").split())
