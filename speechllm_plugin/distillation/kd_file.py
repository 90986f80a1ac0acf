"""The KD file: a teacher's translations of a split, written while it runs.

    FILE        TSV with a header: id, kd_source_hash, rank (from 1, the best), kd_score, kd_text; k rows per utterance, one after another
    FILE.json   what made it: teacher, split, num_utterances, k, options, manifest (digest of the ids and source texts)

kd_score is the mean log-probability per token in base 2, as fairseq-generate prints it. A file grows block by block, so that a run
that is cut off goes on where it was.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files.atomic import replacing

COLUMNS = ("id", "kd_source_hash", "rank", "kd_score", "kd_text")
DESCRIPTION = ("teacher", "split", "num_utterances", "k", "options", "manifest")


def source_hash(row: Utterance) -> str:
    """16 hexadecimal digits of what a teacher translates: languages and source text."""
    return hashlib.blake2b(f"{row.src_lang}\t{row.tgt_lang}\t{row.src_text}".encode(), digest_size=8).hexdigest()


def describe(rows: Sequence[Utterance], *, teacher: str, split: str, k: int, options: dict) -> dict:
    """The description of a KD file: of these rows, and of everything (`options`, strings and numbers) that decides about the hypotheses."""
    digest = hashlib.blake2b("".join(f"{row.id}\t{source_hash(row)}\n" for row in rows).encode(), digest_size=8).hexdigest()
    return {"teacher": teacher, "split": split, "num_utterances": len(rows), "k": k, "options": options, "manifest": digest}


def description_path(path) -> Path:
    return Path(f"{path}.json")


def read_description(path) -> dict:
    """What made a KD file.

    Raises:
        FileNotFoundError: there is no description beside it.
        ValueError: the description is not one.
    """
    beside = description_path(path)
    if not beside.is_file():
        raise FileNotFoundError(f"{beside}: missing, so {path} is no KD file: copy it too, or translate again with speechllm translate")
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
        missing = [name for name in DESCRIPTION if name not in description]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{beside}: must be JSON, but is not ({error}); remove it and {path}, and translate again") from error
    if missing:
        raise ValueError(f"{beside}: must have {' '.join(DESCRIPTION)}, but lacks {missing[0]}; remove it and {path}, and translate again")
    return description


def read(path) -> dict[str, tuple[str, list[tuple[float, str]]]]:
    """id -> source hash and the k hypotheses (score, text), the best first; in the order of the file.

    Raises:
        FileNotFoundError: the file or its description is not there.
        ValueError: it is not finished, a row is malformed, or an utterance has not k hypotheses, or stands twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such KD file; make it with speechllm translate")
    description = read_description(path)
    translations = {}
    for line, fields in _rows(path):
        utterance_id, digest, rank, score, text = fields
        known = translations.setdefault(utterance_id, (digest, []))
        if int(rank) != len(known[1]) + 1 or digest != known[0] or len(known[1]) >= description["k"]:
            raise ValueError(
                f"{path}:{line}: utterance {utterance_id!r} must have the ranks 1 to {description['k']} in order, once, but after "
                f"{len(known[1])} of them comes rank {rank} with hash {digest}: remove the file and translate again"
            )
        known[1].append((float(score), text))
    fewer = [utterance_id for utterance_id, (_, hypotheses) in translations.items() if len(hypotheses) < description["k"]]
    if fewer or len(translations) != description["num_utterances"]:
        first = f", the first that lacks some is {fewer[0]!r}" if fewer else ""
        raise ValueError(
            f"{path}: must have {description['k']} hypotheses of each of {description['num_utterances']:,} utterances, but has them of "
            f"{len(translations) - len(fewer):,}{first}: run the teacher's command again, it goes on"
        )
    return translations


def _rows(path):
    """(line number, fields) of the data rows.

    Raises:
        ValueError: the header or a row is malformed.
    """
    lines = path.read_text(encoding="utf-8").split("\n")
    if lines[0].split("\t") != list(COLUMNS):
        raise ValueError(f"{path}:1: the header must be {' '.join(COLUMNS)}, separated by tabs, but is {lines[0]!r}")
    for line, text in enumerate(lines[1:], 2):
        if text:
            fields = text.split("\t")
            if len(fields) != len(COLUMNS) or not (fields[2].isascii() and fields[2].isdigit()) or not _is_number(fields[3]):
                raise ValueError(f"{path}:{line}: must have {' '.join(COLUMNS)}, separated by tabs, with numbers, but is {text!r}")
            yield line, fields


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


class Writer:
    """Appends translations to a KD file, and goes on with one that is not finished.

    Args:
        path: the file. Without it, one is begun.
        description: of `describe`.

    Attributes:
        done: ids of the utterances that are already there with all their hypotheses. What a killed writer left behind them is cut off.

    Raises:
        ValueError: the file is there, but has another description.
    """

    def __init__(self, path, description: dict):
        assert set(description) == set(DESCRIPTION), description
        self.path, self.description, self.done = Path(path), description, set()
        if self.path.exists():
            self._check_description(read_description(self.path))
            self._resume()
        else:
            with replacing(description_path(self.path)) as part:
                part.write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            with replacing(self.path) as part:
                part.write_text("\t".join(COLUMNS) + "\n", encoding="utf-8")
        self.file = open(self.path, "ab")  # noqa: SIM115  __exit__ closes it

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.file.close()

    def write(self, block: Sequence[tuple[Utterance, Sequence[tuple[float, str]]]]) -> None:
        """Append utterances, each with its k hypotheses (score in base 2, text), the best first; on the disk when this returns.

        White space in a text becomes single spaces: a line break would be another row.
        """
        lines = []
        for row, hypotheses in block:
            assert row.id not in self.done and len(hypotheses) == self.description["k"], (row.id, len(hypotheses))
            self.done.add(row.id)
            for rank, (score, text) in enumerate(hypotheses, 1):
                lines.append("\t".join((row.id, source_hash(row), str(rank), f"{score:.6f}", " ".join(text.split()))) + "\n")
        self.file.write("".join(lines).encode())
        self.file.flush()
        os.fsync(self.file.fileno())

    def _check_description(self, begun):
        for name in DESCRIPTION:
            if begun[name] != self.description[name]:
                raise ValueError(
                    f"{self.path}: was begun with {name} {begun[name]!r}, but now it is {self.description[name]!r}: "
                    "give the same as then, or another file, or remove this one"
                )

    def _resume(self):
        """Cut the file behind the last utterance that is complete."""
        kept, end, waiting = 0, 0, []
        for line in self.path.read_bytes().splitlines(keepends=True):
            end += len(line)
            fields = line.decode("utf-8", errors="replace").rstrip("\n").split("\t")
            if kept == 0:
                kept = end
                continue
            if not line.endswith(b"\n") or len(fields) != len(COLUMNS) or int(fields[2]) != len(waiting) + 1:
                break
            waiting.append(fields[0])
            if len(waiting) == self.description["k"]:
                self.done.add(fields[0])
                kept, waiting = end, []
        os.truncate(self.path, kept)
