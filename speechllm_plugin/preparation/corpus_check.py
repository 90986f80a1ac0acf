"""Errors of a corpus that its texts and folders show before any audio is read or anything is written."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from speechllm_plugin.data import audio, features
from speechllm_plugin.data.manifest import Utterance, has_separator
from speechllm_plugin.preparation.corpora import TRAIN_SPLIT
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.text.listing import first_few
from speechllm_plugin.text.one_line import excerpt

TRAIN_FRAMES = range(5, 3001)  # the paper's; other splits are never filtered

MOST_ID_CHARACTERS = 1000  # ids become names in archives, which have room for 65,535 bytes
TARGET_COLUMNS = {"asr": "src_text", "st": "tgt_text", "joint": "src_text and tgt_text"}


def check(
    task: str,
    root: str | Path,
    contents: Mapping[str, Mapping[str, Sequence[CorpusRow]]],
    columns_made: Sequence[str],
    may_leave_root: bool = False,
) -> None:
    """Check the rows of each manifest of each split, and that their audio files exist and have a size.

    Args:
        columns_made: extra columns that the manifests are going to get. The corpus must not have them.
        may_leave_root: audio files may lie outside the root.

    Raises:
        ValueError: something is wrong. The message has the first places and the number of rows.
    """
    for split, manifests in contents.items():
        for name, rows in manifests.items():
            if not rows:
                raise ValueError(f"{split}: no row of the corpus can be used; correct --root or --splits")
            _check_columns(rows, columns_made)
            _check_targets(task, name, rows)
            _check_ids(rows)
            needed = needed_texts(task, (row.utterance for row in rows)) if split == TRAIN_SPLIT else set()
            _check_texts(split, rows, needed)
    if TRAIN_SPLIT in contents:
        _check_languages(task, contents)
    every_row = [row for manifests in contents.values() for rows in manifests.values() for row in rows]
    if not may_leave_root:
        _check_inside_root(every_row)
    _check_audio(root, list(dict.fromkeys(row.utterance.audio for row in every_row)))


def needed_texts(task: str, utterances: Iterable[Utterance]) -> tuple[str, ...]:
    """The columns in which every training row must have text; src_text is one for the task joint, or if any row has a transcript."""
    has_transcripts = task == "joint" or any(utterance.src_text for utterance in utterances)
    return ("src_text", "tgt_text") if has_transcripts else ("tgt_text",)


def text_problem(utterance: Utterance, needed: Iterable[str]) -> str:
    """The reason why a manifest cannot hold the utterance, or training cannot use it; empty if there is none."""
    for column in needed:
        if not getattr(utterance, column):
            return f"{column} is empty, but training needs text; write the text or remove the row"
    for column in ("id", "tgt_text", "src_text", "speaker"):
        if has_separator(getattr(utterance, column)):
            return f"{column} must have no tab or line break, but is {getattr(utterance, column)!r}; replace it by a space"
    for column, value in utterance.extra.items():
        if has_separator(value):
            return f"{column} must have no tab or line break, but is {value!r}; replace it by a space"
    return ""


def _check_columns(rows: Sequence[CorpusRow], columns_made: Sequence[str]) -> None:
    for row in rows:
        for column in columns_made:
            if column in row.utterance.extra:
                raise ValueError(f"{row.place}: the column {column} is written by speechllm prepare; give that of the corpus another name")


def _check_targets(task: str, name: str, rows: Sequence[CorpusRow]) -> None:
    if not any(row.utterance.tgt_text for row in rows):
        raise ValueError(f"{name}: --task {task} needs {TARGET_COLUMNS[task]}, but no row has a text; fill in the column or give another --task")
    for row in rows:
        for language in (row.utterance.tgt_lang, row.utterance.src_lang)[: 2 if task == "joint" else 1]:
            if not re.fullmatch(r"[\w-]+", language):
                raise ValueError(
                    f"{row.place}: the language of a target must be a code such as de or zh-CN, but is {language!r}; correct the columns "
                    "src_lang and tgt_lang, or give --source-lang and --target-lang in their place"
                )


def _check_ids(rows: Sequence[CorpusRow]) -> None:
    place_of: dict[str, str] = {}
    for row in rows:
        if len(row.utterance.id) > MOST_ID_CHARACTERS:
            raise ValueError(
                f"{row.place}: id must have at most {MOST_ID_CHARACTERS} characters, but has {len(row.utterance.id)}: {excerpt(row.utterance.id)}; "
                "shorten it"
            )
        place = place_of.setdefault(row.utterance.id, row.place)
        if place is not row.place:
            raise ValueError(f"{row.place}: id must be unique, but {row.utterance.id!r} also stands at {place}; rename one")


def _check_texts(split: str, rows: Sequence[CorpusRow], needed: Iterable[str]) -> None:
    problems = []
    for row in rows:
        # A row that is going to be dropped for its length needs no text.
        problem = text_problem(row.utterance, needed if _may_be_trained_on(row) else ())
        if problem:
            problems.append((f"{row.place} ({row.utterance.id})", problem))
    if problems:
        places = [place for place, _ in problems[1:]]
        more = f"; texts of {len(places)} more rows of {split} cannot be used: {first_few(places)}" if places else ""
        raise ValueError(f"{problems[0][0]}: {problems[0][1]}{more}")


def _may_be_trained_on(row: CorpusRow) -> bool:
    duration = row.duration_seconds
    return duration is None or features.num_frames(round(duration / row.speed * audio.SAMPLE_RATE)) in TRAIN_FRAMES


def _check_languages(task: str, contents: Mapping[str, Mapping[str, Sequence[CorpusRow]]]) -> None:
    trained = {row.utterance.tgt_lang for row in contents[TRAIN_SPLIT][TRAIN_SPLIT]}
    if task == "joint":
        trained |= {row.utterance.src_lang for row in contents[TRAIN_SPLIT][TRAIN_SPLIT]}
    for manifests in contents.values():
        for rows in manifests.values():
            for row in rows:
                if row.utterance.tgt_lang not in trained:
                    raise ValueError(
                        f"{row.place}: {TRAIN_SPLIT} has no target in {row.utterance.tgt_lang}, only in {' '.join(sorted(trained))}; "
                        "correct the language or remove the row"
                    )


def _check_inside_root(rows: Sequence[CorpusRow]) -> None:
    outside = [row for row in rows if os.path.isabs(row.utterance.audio) or os.path.normpath(row.utterance.audio).split(os.sep)[0] == os.pardir]
    if outside:
        more = f", and so are those of {len(outside) - 1} more rows" if len(outside) > 1 else ""
        raise ValueError(
            f"{outside[0].place}: the audio file {excerpt(outside[0].utterance.audio)} is outside --root{more}; correct the corpus, or give "
            "--allow-outside-root if you know what it names"
        )


def _check_audio(root: str | Path, paths: Sequence[str]) -> None:
    # One listing per folder: a corpus has up to 300,000 clips in one.
    listings: dict[str, set[str]] = {}
    absent, empty = [], []
    for path in paths:
        folder, name = os.path.split(os.path.join(root, path))
        if folder not in listings:
            listings[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in listings[folder]:
            absent.append(path)
        elif not os.path.getsize(os.path.join(folder, name)):
            empty.append(path)
    found = {"not there": absent, "empty (0 bytes)": empty}
    problems = [f"{len(names)} of {len(paths)} audio files are {what}: {first_few(names)}" for what, names in found.items() if names]
    if problems:
        raise ValueError(f"{root}: {', and '.join(problems)}; restore them or correct --root")
