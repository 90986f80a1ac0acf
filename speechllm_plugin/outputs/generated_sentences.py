"""The sentences in the output of fairseq-generate.

fairseq-generate prints of every sentence its lines S- (source), T- (target), and of each of its n best hypotheses H-, D- (detokenised)
and P-; with some options A-, I- and E- as well. The number behind the letter is the row of the manifest, from 0.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.text.one_line import excerpt

LINE = re.compile(r"([STHDPAIE])-([0-9]{1,12})[\t_]")
ROW = re.compile("[0-9]{1,12}")
NUM_ROWS_SHOWN = 5


@dataclass
class Sentence:
    """One sentence as it was decoded.

    row: of the manifest, from 0.
    source, target: the texts of its S- and T- line; None where there is no such line.
    hypotheses: (score, text) of its D- lines, the best first.
    """

    row: int
    source: str | None = None
    target: str | None = None
    hypotheses: list[tuple[float, str]] = field(default_factory=list)


def read_sentences(paths: Iterable) -> list[Sentence]:
    """The decoded sentences in the order of the files; a row that was decoded twice is there twice.

    Args:
        paths: one file, or the files of all shards of a test set.

    Raises:
        ValueError: a D- line is cut, a file is not UTF-8, or no file has a D- line.
    """
    paths = list(paths)
    sentences = [sentence for path in paths for sentence in _sentences(path) if sentence.hypotheses]
    if not sentences:
        raise ValueError(f"{' '.join(map(str, paths))}: no D- line; give a file that holds the output of fairseq-generate")
    return sentences


def in_rows(sentences: Sequence[Sentence], utterances: Sequence[Utterance]) -> list[Sentence]:
    """The sentences in the manifest's order, one for every row.

    Args:
        utterances: the rows of the manifest that was decoded.

    Raises:
        ValueError: a sentence has no row, or a row has no sentence or several.
    """
    count = Counter(sentence.row for sentence in sentences)
    beyond = sorted(row for row in count if row >= len(utterances))
    if beyond:
        raise ValueError(
            f"every hypothesis needs a row of the manifest, but {len(beyond):,} are beyond its {len(utterances):,} rows "
            f"(first: {_first(beyond)}); give the manifest that was decoded"
        )
    ids = [f"{row} {utterance.id}" for row, utterance in enumerate(utterances)]
    doubled = [ids[row] for row in sorted(count) if count[row] > 1]
    if doubled:
        raise ValueError(
            f"every row needs one decoding, but {len(doubled):,} of {len(utterances):,} have several "
            f"(first: {_first(doubled)}); give the output of one run"
        )
    missing = [ids[row] for row in range(len(utterances)) if row not in count]
    if missing:
        raise ValueError(
            f"every row needs one decoding, but {len(missing):,} of {len(utterances):,} have none "
            f"(first: {_first(missing)}); decode all rows of the manifest"
        )
    return sorted(sentences, key=lambda sentence: sentence.row)


def _sentences(path: str | Path) -> Iterator[Sentence]:
    """All sentences of a file, also those without a hypothesis. The lines of a sentence stand together; any other line ends it."""
    sentence = None
    with open(path, encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(_decoded(lines, path), start=1):
            match = LINE.match(line)
            if match is None:
                if line.startswith("D-"):
                    _hypothesis(line, f"{path}:{number}")
                if sentence is not None:
                    yield sentence
                sentence = None
                continue
            kind, row = match[1], int(match[2])
            if sentence is None or row != sentence.row or kind == "S" or (kind == "T" and sentence.hypotheses):
                if sentence is not None:
                    yield sentence
                sentence = Sentence(row)
            if kind == "S":
                sentence.source = line[match.end() :].rstrip("\r\n")
            elif kind == "T":
                sentence.target = line[match.end() :].rstrip("\r\n")
            elif kind == "D":
                sentence.hypotheses.append(_hypothesis(line, f"{path}:{number}"))
    if sentence is not None:
        yield sentence


def _hypothesis(line: str, place: str) -> tuple[float, str]:
    """The score and the text of a D- line."""
    fields = line.rstrip("\r\n").split("\t", 2)
    try:
        if not ROW.fullmatch(fields[0][2:]):
            raise ValueError(f"no row: {fields[0]!r}")
        score, text = float(fields[1]), fields[2]
    except (IndexError, ValueError) as error:
        raise ValueError(f"{place}: a D- line needs row, score and text, but is {excerpt(line.rstrip())}; decode again") from error
    if not line.endswith("\n"):
        raise ValueError(f"{place}: the file ends within this line; decode again")
    return score, text


def _decoded(lines: Iterable[str], path: str | Path) -> Iterator[str]:
    """The lines of a file that must be UTF-8."""
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8, but {error}") from error


def _first(rows: Sequence) -> str:
    return ", ".join(map(str, rows[:NUM_ROWS_SHOWN]))
