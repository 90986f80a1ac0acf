"""A teacher's translations as fairseq-generate printed them: which row each belongs to, and that the row has not changed since."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from speechllm_plugin.data.manifest import Utterance

LINE = re.compile(r"([SD])-(\d+)\t(.*)")


def read(paths, rows: Sequence[Utterance], renderings: Callable[[str], Sequence[str]]) -> list[list[tuple[float, str]]]:
    """The hypotheses (score, text) of every row, the best first.

    Args:
        paths: output of fairseq-generate; several are the shards of a split.
        rows: the manifest that was decoded.
        renderings: how a source text may stand in an S- line, besides as it is; spaces do not count.

    Raises:
        ValueError: a line is cut, there is none of a kind, a row is beyond the manifest, is missing or doubled, has another number of
            hypotheses than the rest, or its S- line is not its src_text.
    """
    sources, hypotheses = _parse(paths)
    where = " ".join(map(str, paths))
    for kind, found in (("D-", hypotheses), ("S-", sources)):
        if not found:
            raise ValueError(
                f"{where}: no {kind} line; give a KD file, or what fairseq-generate printed for a text translation model, without --quiet"
            )
    beyond = sorted(row for row in hypotheses if row >= len(rows))
    if beyond:
        raise ValueError(
            f"{where}: {len(beyond):,} of {len(hypotheses):,} translated rows are beyond the {len(rows):,} rows of the manifest "
            f"(first: row {beyond[0]}): give the output of this split"
        )
    changed = [
        number for number in sorted(hypotheses)
        if not {_compact(source) for source in sources.get(number, [""])} <= _possible(rows[number].src_text, renderings)
    ]  # fmt: skip
    if changed:
        number = changed[0]
        raise ValueError(
            f"{where}: the source of {len(changed):,} of {len(hypotheses):,} translated rows is not the src_text of the row; the first is "
            f"utterance {rows[number].id!r} (row {number}): {sources.get(number, ['missing'])[0]!r} was translated, the manifest has "
            f"{rows[number].src_text!r}: give the output of this split, and the teacher's data with --teacher-data"
        )
    doubled = [number for number in sorted(sources) if len(sources[number]) > 1]
    if doubled:
        raise ValueError(
            f"{where}: {len(doubled):,} of {len(rows):,} rows were translated more than once, the first is utterance "
            f"{rows[doubled[0]].id!r} (row {doubled[0]}): give the output of one run"
        )
    missing = [number for number in range(len(rows)) if number not in hypotheses]
    if missing:
        raise ValueError(
            f"{where}: {len(missing):,} of {len(rows):,} rows have no translation, the first is utterance {rows[missing[0]].id!r} "
            f"(row {missing[0]}): translate all rows of the manifest"
        )
    most = max(map(len, hypotheses.values()))
    fewer = [number for number in range(len(rows)) if len(hypotheses[number]) < most]
    if fewer:
        raise ValueError(
            f"{where}: {len(fewer):,} of {len(rows):,} rows have fewer than {most} translations, the first is utterance "
            f"{rows[fewer[0]].id!r} (row {fewer[0]}) with {len(hypotheses[fewer[0]])}: translate again with one --nbest"
        )
    return [hypotheses[number] for number in range(len(rows))]


def _parse(paths):
    """Row -> its S- texts, and row -> its D- (score, text), in the order of the files."""
    sources, hypotheses = {}, {}
    for path in paths:
        with open(path, encoding="utf-8", newline="\n") as lines:
            try:
                for number, line in enumerate(lines, 1):
                    match = LINE.match(line.rstrip("\r\n"))
                    if match and match[1] == "S":
                        sources.setdefault(int(match[2]), []).append(match[3])
                    elif match or line.startswith("D-"):
                        row, hypothesis = _hypothesis(line.rstrip("\r\n"), f"{path}:{number}")
                        hypotheses.setdefault(row, []).append(hypothesis)
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}: must be UTF-8, but {error}") from error
    return sources, hypotheses


def _hypothesis(line, place):
    fields = line.split("\t", 2)
    try:
        return int(fields[0][2:]), (float(fields[1]), " ".join(fields[2].split()))
    except (IndexError, ValueError) as error:
        raise ValueError(f"{place}: a D- line needs row, score and text, but is {line!r}; translate again") from error


def _possible(text, renderings):
    return {_compact(form) for form in (text, unicodedata.normalize("NFKC", text), *renderings(text))}


def _compact(text):
    """A text without what separates its pieces: the marks of SentencePiece and subword-nmt, and spaces."""
    return "".join(text.replace("@@ ", "").replace("\u2581", " ").split())
