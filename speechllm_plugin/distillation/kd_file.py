"""The KD file: a teacher's translations of a split, written while it runs.

    FILE        TSV with a header: id, kd_source_hash, rank (from 1, the best), kd_score, kd_text; k rows per utterance, one after another
    FILE.json   what made it: teacher, split, num_utterances, k, options, manifest (digest of the ids and source texts); once it is
                finished, its size and checksum

kd_score is the mean log-probability per token in base 2, as fairseq-generate prints it. A file grows block by block, so that a run
that is cut off goes on where it was.
"""

from collections.abc import Sequence
from pathlib import Path

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files import json_file, recorded_files, tsv_rows
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.digests import short_digest
from speechllm_plugin.files.growing import GrowingFiles, check_description, write_description

KD_COLUMNS = ("id", "kd_source_hash", "rank", "kd_score", "kd_text")
NO_SUCH_KD_FILE = "no such KD file; make it with speechllm translate"
FINISHED = "finished"
DESCRIPTION = {"teacher": str, "split": str, "num_utterances": int, "k": int, "options": dict, "manifest": str}


def source_hash(row: Utterance) -> str:
    """16 hexadecimal digits of what a teacher translates: languages and source text."""
    return short_digest([f"{row.src_lang}\t{row.tgt_lang}\t{row.src_text}"])


def describe(rows: Sequence[Utterance], *, teacher: str, split: str, k: int, options: dict) -> dict:
    """The description of a KD file: of these rows, and of everything (`options`, strings and numbers) that decides about the hypotheses."""
    digest = short_digest(f"{row.id}\t{source_hash(row)}\n" for row in rows)
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
    return json_file.read_object(beside, DESCRIPTION, remedy=f"remove it and {path}, and translate again")


def read(path) -> dict[str, tuple[str, list[tuple[float, str]]]]:
    """id -> source hash and the k hypotheses (score, text), the best first; in the order of the file.

    Raises:
        FileNotFoundError: the file or its description is not there.
        ValueError: it is not finished, or changed since, a row is malformed, or an utterance has not k hypotheses, or stands twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {NO_SUCH_KD_FILE}")
    description = read_description(path)
    translations: dict[str, tuple[str, list[tuple[float, str]]]] = {}
    for place, utterance_id, digest, rank, score, text in _rows(path):
        known = translations.setdefault(utterance_id, (digest, []))
        if rank != len(known[1]) + 1 or digest != known[0] or len(known[1]) >= description["k"]:
            raise ValueError(
                f"{place}: utterance {utterance_id!r} must have the ranks 1 to {description['k']} in order, once, but after "
                f"{len(known[1])} of them comes rank {rank} with hash {digest}: remove the file and translate again"
            )
        known[1].append((score, text))
    fewer = [utterance_id for utterance_id, (_, hypotheses) in translations.items() if len(hypotheses) < description["k"]]
    if fewer or len(translations) != description["num_utterances"]:
        first = f", the first that lacks some is {fewer[0]!r}" if fewer else ""
        raise ValueError(
            f"{path}: must have {description['k']} hypotheses of each of {description['num_utterances']:,} utterances, but has them of "
            f"{len(translations) - len(fewer):,}{first}: run the teacher's command again, it goes on"
        )
    _check_finished(path, description)
    return translations


def _check_finished(path, description):
    """Raise ValueError for a file that changed after it was finished."""
    change = recorded_files.change(path, description[FINISHED]) if FINISHED in description else ""
    if change:
        raise ValueError(f"{path}: {change}; remove it to translate again, or, if you edited it, {FINISHED!r} from {description_path(path)}")


def _rows(path):
    """(FILE:LINE, id, source hash, rank, score, text) of every row.

    Raises:
        ValueError: the header or a row is malformed.
    """
    for place, row in tsv_rows.rows(path, KD_COLUMNS, absent=NO_SUCH_KD_FILE):
        try:
            yield place, row["id"], row["kd_source_hash"], int(row["rank"]), float(row["kd_score"]), row["kd_text"]
        except ValueError as error:
            numbers = f"{row['rank']!r} and {row['kd_score']!r}"
            raise ValueError(f"{place}: rank and kd_score must be numbers, but are {numbers}; translate again") from error


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
            begun = read_description(self.path)
            if FINISHED in begun and self.path.stat().st_size >= begun[FINISHED]["bytes"]:  # a shorter one is completed
                _check_finished(self.path, begun)
            advice = "give the same as then, or another file, or remove this one"
            check_description(self.path, {name: begun[name] for name in DESCRIPTION}, description, advice)
        else:
            write_description(description_path(self.path), description)
            with replacing(self.path) as part:
                part.write_text("\t".join(KD_COLUMNS) + "\n", encoding="utf-8")
        self._files = GrowingFiles({self.path: self._num_complete_bytes()})

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._files.close()
        if len(self.done) == self.description["num_utterances"]:
            write_description(description_path(self.path), {**self.description, FINISHED: recorded_files.record(self.path)})

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
        self._files.append({self.path: "".join(lines).encode()})

    def _num_complete_bytes(self):
        """The size of the file up to the last utterance that is complete; `done` gets all that are."""
        kept, end, waiting = 0, 0, []
        for line in self.path.read_bytes().splitlines(keepends=True):
            end += len(line)
            fields = line.decode("utf-8", errors="replace").rstrip("\n").split("\t")
            if kept == 0:
                kept = end
                continue
            if not line.endswith(b"\n") or len(fields) != len(KD_COLUMNS) or int(fields[2]) != len(waiting) + 1:
                break
            waiting.append(fields[0])
            if len(waiting) == self.description["k"]:
                self.done.add(fields[0])
                kept, waiting = end, []
        return kept
