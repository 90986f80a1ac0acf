"""The files of one split: its manifests, and the archive of its features."""

import contextlib
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechllm_plugin.data import manifest, recording
from speechllm_plugin.data.features import FRAME_SHIFT_SECONDS
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.preparation.corpora import TRAIN_SPLIT
from speechllm_plugin.preparation.corpus_check import TRAIN_FRAMES, needed_texts, text_problem
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.preparation.extraction import Reading, SoundReaders
from speechllm_plugin.preparation.feature_archive import FeatureArchive
from speechllm_plugin.preparation.prepared_folder import PreparedFolder, fingerprint
from speechllm_plugin.preparation.settings import Settings
from speechllm_plugin.text.progress import with_progress

ANY_FRAMES = range(1, sys.maxsize)

Manifests = Mapping[str, Sequence[CorpusRow]]


class UnusableRows(ValueError):
    """Rows of a split that cannot be used, although they are needed.

    problems: one line for each row.
    """

    def __init__(self, message: str, problems: Sequence[str]):
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True)
class PreparedSplit:
    """What became of a split.

    facts: number of `rows`, their `hours`, how many were `dropped`, and the recordings that are `empty`, of which rows were dropped too.
    is_new: made now, not by an earlier run.
    dropped: number of rows that were left out now, by reason.
    """

    facts: Mapping[str, Any]
    is_new: bool
    dropped: Counter[str] = field(default_factory=Counter)


def make(folder: PreparedFolder, readers: SoundReaders, settings: Settings, split: str, manifests: Manifests) -> PreparedSplit:
    """Make the drafts of a split's manifests and their features, unless they are there.

    Args:
        manifests: rows of each of them, by name.

    Raises:
        UnusableRows: some rows cannot be used.
        ValueError: no row has a length that can be used.
    """
    corpus_rows = [row for rows in manifests.values() for row in rows]
    mark = fingerprint(corpus_rows, settings.root)
    facts = folder.finished(split, mark)
    if facts is not None:
        return PreparedSplit(facts, is_new=False)
    files = [f"{name}.tsv" for name in manifests]
    archive: contextlib.AbstractContextManager[FeatureArchive | None] = contextlib.nullcontext()
    if settings.stores_features:
        files.append(f"fbank80.{split}.zip")
        archive = FeatureArchive(folder.path / files[-1])
    folder.withdraw(split, *files)
    frames = TRAIN_FRAMES if split == TRAIN_SPLIT else ANY_FRAMES
    with archive as writer:
        readings = _read_sounds(readers, settings.root, split, corpus_rows, frames, writer)
        utterances, dropped = _with_readings(settings.task, split, manifests, readings, frames)
    for name, of_manifest in utterances.items():
        manifest.write(folder.draft(f"{name}.tsv"), of_manifest)
    num_frames = [utterance.n_frames for of_manifest in utterances.values() for utterance in of_manifest]
    hours = sum(num_frames) * FRAME_SHIFT_SECONDS / 3600
    empty = [row.utterance.audio for row in corpus_rows if readings[row.sound].is_empty]
    facts = folder.finish(split, mark, *files, rows=len(num_frames), hours=hours, dropped=dropped.total(), empty=empty)
    return PreparedSplit(facts, is_new=True, dropped=dropped)


def write_left_out(path: Path, recordings: Iterable[str]) -> None:
    """Write the list of the recordings whose rows were left out; no file where there are none."""
    path.unlink(missing_ok=True)
    names = dict.fromkeys(recordings)
    if names:
        with replacing(path) as part:
            part.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _read_sounds(
    readers: SoundReaders, root: str, split: str, rows: Sequence[CorpusRow], frames: range, archive: FeatureArchive | None
) -> dict[tuple, Reading]:
    """Sound -> what reading it gave, its features being in the archive: each sound is read and stored once, however many rows have it."""
    first: dict[tuple, CorpusRow] = {}
    for row in rows:
        first.setdefault(row.sound, row)
    readings = readers.read(list(first.values()), root, frames, with_features=archive is not None)
    reading_of = {}
    for reading, (sound, row) in zip(with_progress(readings, split, "row", total=len(first)), first.items()):
        if archive is not None and reading.features is not None:
            stored = archive.add(row.utterance.id, reading.features)
            reading = replace(reading, audio=stored, recording=reading.audio, features=None)
        reading_of[sound] = reading
    return reading_of


def _with_readings(
    task: str, split: str, manifests: Manifests, readings: Mapping[tuple, Reading], frames: range
) -> tuple[dict[str, list[manifest.Utterance]], Counter[str]]:
    """The utterances of each manifest, and the number of dropped ones by reason.

    Raises:
        UnusableRows: some rows cannot be used.
        ValueError: no row has a length that can be used.
    """
    utterances_of: dict[str, list[manifest.Utterance]] = {}
    dropped: Counter[str] = Counter()
    problems = []
    for name, rows in manifests.items():
        utterances_of[name] = utterances = []
        needed = needed_texts(task, [row.utterance for row in rows]) if split == TRAIN_SPLIT else ()
        for row in rows:
            reading = readings[row.sound]
            if reading.is_empty and row.may_be_empty:
                dropped["empty recordings"] += 1
                continue
            if not reading.problem and reading.n_frames not in frames:
                limit = f"shorter than {frames[0]} frames" if reading.n_frames < frames[0] else f"longer than {frames[-1]} frames"
                dropped[f"{limit} ({frames[0]} to {frames[-1]} are trained on)"] += 1
                continue
            problem = reading.problem or text_problem(row.utterance, needed)
            if problem:
                problems.append(f"{row.place} ({row.utterance.id}): {problem}")
            extra = row.utterance.extra | ({recording.RECORDING_COLUMN: reading.recording} if reading.recording else {})
            utterances.append(replace(row.utterance, audio=reading.audio, n_frames=reading.n_frames, extra=extra))
    num_rows = sum(map(len, manifests.values()))
    if problems:
        raise UnusableRows(f"{split}: {len(problems)} of {num_rows} rows cannot be used", problems)
    if not any(utterances_of.values()):
        raise ValueError(f"{split}: none of the {num_rows} rows has {frames[0]} to {frames[-1]} frames; check the times in the corpus")
    return utterances_of, dropped
