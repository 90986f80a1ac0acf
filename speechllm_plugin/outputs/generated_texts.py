"""Hypotheses of a manifest's rows, from the output of fairseq-generate.

fairseq-generate numbers its lines by the row of the manifest (`D-0` is the first utterance).
"""

import collections
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechllm_plugin.data.manifest import Utterance

# A sentence's hypotheses stand together: H-, D-, P- (A-, I-, E- with some options) for each of its n best.
HYPOTHESIS_LINE = re.compile(r"([HDPAIE])-(\d+)[\t_]")

TARGET_LINE = re.compile(r"^T-(\d+)\t(.*)$", re.MULTILINE)
UNKNOWN_TOKEN = re.compile("<unk>|⁇")
SHARE_OF_SAME_TARGETS = 0.5  # tokenizers lose characters and spaces, never most sentences

NUM_ROWS_SHOWN = 5


def read_in_rows(paths: Sequence, utterances: Sequence[Utterance], manifest) -> list[str]:
    """The best hypothesis of every row, in the manifest's order.

    Args:
        paths: one file, or the files of all shards of a test set.
        utterances: the rows of the manifest that was decoded.
        manifest: its path, to name in errors.

    Raises:
        ValueError: the files are not the output of fairseq-generate for exactly these rows.
    """
    hypotheses = read_hypotheses(paths)
    try:
        texts = select_by_row(hypotheses, utterances)
        for path in paths:
            check_targets(Path(path).read_text(encoding="utf-8"), utterances)
        return texts
    except ValueError as error:
        raise ValueError(f"{' '.join(map(str, paths))} against {manifest}: {error}") from error


def read_hypotheses(paths: Iterable) -> list[tuple[int, str]]:
    """The best detokenised hypothesis of every decoded sentence, from files that fairseq-generate wrote.

    Args:
        paths: one file, or the files of all shards of a test set.

    Returns:
        (row, text) pairs in the files' order; row is the manifest's, from 0. Of an n-best list the first, which is the
        best. A row that was decoded twice is there twice.

    Raises:
        ValueError: a D- line is cut, a file is not UTF-8, or no file has a D- line.
    """
    hypotheses = []
    for path in paths:
        open_row = None  # the row whose n-best list the file is in
        with open(path, encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(_decoded(lines, path), start=1):
                match = HYPOTHESIS_LINE.match(line)
                row = int(match[2]) if match else None
                if line.startswith("D-"):
                    text = _detokenised_text(line, f"{path}:{number}")
                    if row != open_row:
                        hypotheses.append((row, text))
                    open_row = row
                elif row != open_row:
                    open_row = None
    if not hypotheses:
        raise ValueError(f"{' '.join(map(str, paths))}: no D- line; give a file that holds the output of fairseq-generate")
    return hypotheses


def select_by_row(hypotheses: Sequence[tuple[int, str]], utterances: Sequence[Utterance]) -> list[str]:
    """The texts in the manifest's order, one for every row.

    Args:
        hypotheses: (row, text) pairs, rows from 0.
        utterances: rows of the manifest.

    Raises:
        ValueError: a hypothesis has no row, or a row has no hypothesis or several.
    """
    count = collections.Counter(row for row, _ in hypotheses)
    beyond = sorted(row for row in count if row >= len(utterances))
    if beyond:
        raise ValueError(
            f"every hypothesis needs a row of the manifest, but {len(beyond)} are beyond its {len(utterances)} rows "
            f"(first: {_first(beyond)}); give the manifest that was decoded"
        )
    ids = [f"{row} {utterance.id}" for row, utterance in enumerate(utterances)]
    doubled = [ids[row] for row in sorted(count) if count[row] > 1]
    if doubled:
        raise ValueError(
            f"every row needs one hypothesis, but {len(doubled)} of {len(utterances)} have several "
            f"(first: {_first(doubled)}); give the output of one run"
        )
    missing = [ids[row] for row in range(len(utterances)) if row not in count]
    if missing:
        raise ValueError(
            f"every row needs one hypothesis, but {len(missing)} of {len(utterances)} have none "
            f"(first: {_first(missing)}); decode all rows of the manifest"
        )
    texts = dict(hypotheses)
    return [texts[row] for row in range(len(utterances))]


def check_targets(generated: str, utterances: Sequence[Utterance]) -> None:
    """Raise ValueError if fairseq-generate decoded other sentences: the targets that it prints tell a test set from another with as many rows."""
    targets = {int(row): text for row, text in TARGET_LINE.findall(generated) if not UNKNOWN_TOKEN.search(text)}
    pairs = [(row, text, utterances[row].tgt_text) for row, text in targets.items() if row < len(utterances)]
    different = [pair for pair in pairs if _letters(pair[1]) != _letters(pair[2])]
    if len(different) > (1 - SHARE_OF_SAME_TARGETS) * len(pairs):
        row, text, reference = different[0]
        raise ValueError(
            f"these are hypotheses for another test set: {len(different)} of {len(pairs)} targets differ (row {row}: {text[:60]!r} was decoded, "
            f"the manifest has {reference[:60]!r}); give the manifest that was decoded, or decode again"
        )


def _letters(text):
    return "".join(character for character in unicodedata.normalize("NFKC", text).casefold() if character.isalnum())


def _detokenised_text(line, place):
    if not line.endswith("\n"):
        raise ValueError(f"{place}: the file ends within this line; decode again")
    fields = line.rstrip("\r\n").split("\t", 2)
    if len(fields) < 3 or not fields[0][2:].isdecimal():
        raise ValueError(f"{place}: a D- line needs row, score and text, but is {line.rstrip()!r}; decode again")
    return fields[2]


def _decoded(lines, path):
    """The lines of a file that must be UTF-8."""
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8, but {error}") from error


def _first(rows):
    return ", ".join(map(str, rows[:NUM_ROWS_SHOWN]))
