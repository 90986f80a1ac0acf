"""Rows that training must not see (`speechllm prepare --hold-out`): those of an accent, a speaker or any other value of a column."""

import shlex
from collections.abc import Mapping, Sequence

from speechllm_plugin.data.manifest import UTTERANCE_COLUMNS
from speechllm_plugin.preparation.corpora import TRAIN_SPLIT, VALIDATION_SPLIT
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.text.listing import first_few

FILTERED_SPLITS = (TRAIN_SPLIT, VALIDATION_SPLIT)  # test sets keep all their rows, so that they show what a model does with the held-out ones

Condition = tuple[str, str]  # column, value

_MADE_BY_PREPARE = ("audio", "n_frames")


def apply(
    contents: Mapping[str, Sequence[CorpusRow]], conditions: Sequence[Condition]
) -> tuple[dict[str, list[CorpusRow]], dict[str, dict[Condition, int]]]:
    """The rows without those that meet one of the conditions; test sets as they are.

    Args:
        contents: rows by split, as the corpus has them.
        conditions: the values of columns of the manifest.

    Returns:
        The rows by split, and by split how many met each condition.

    Raises:
        ValueError: a split has no such column, no row of `train` and `dev` has this value, or a split has no other rows.
    """
    filtered = [split for split in FILTERED_SPLITS if split in contents]
    kept, counts = {split: list(rows) for split, rows in contents.items()}, {}
    for split in filtered:
        values = {column: [_value(split, row, column) for row in contents[split]] for column, _ in conditions}
        counts[split] = {(column, value): values[column].count(value) for column, value in conditions}
        met = [any(values[column][index] == value for column, value in conditions) for index in range(len(contents[split]))]
        kept[split] = [row for row, is_met in zip(contents[split], met) if not is_met]
        if met and all(met):
            raise ValueError(f"{split}: --hold-out {describe(conditions)} leaves none of {len(met)} rows; hold out less")
    # Where splits are added to a prepared folder, training has been looked at before.
    if TRAIN_SPLIT in filtered:
        _check_met(contents, filtered, conditions, counts)
    return kept, counts


def is_met(row: CorpusRow, conditions: Sequence[Condition]) -> bool:
    """Whether a row of training meets one of the conditions."""
    return any(_value(TRAIN_SPLIT, row, column) == value for column, value in conditions)


def describe(conditions: Sequence[Condition]) -> str:
    """The conditions as a shell takes them, equal for equal conditions in any order."""
    return shlex.join(sorted({f"{column}={value}" for column, value in conditions}))


def _check_met(
    contents: Mapping[str, Sequence[CorpusRow]],
    splits: Sequence[str],
    conditions: Sequence[Condition],
    counts: Mapping[str, Mapping[Condition, int]],
) -> None:
    for column, value in conditions:
        if not any(counts[split][column, value] for split in splits):
            values = {_value(split, row, column) for split in splits for row in contents[split]}
            raise ValueError(
                f"--hold-out {column}={value}: no row of {' and '.join(splits)} has this {column}; "
                f"they have {first_few([repr(one) for one in sorted(values)])}"
            )


def _value(split: str, row: CorpusRow, column: str) -> str:
    utterance = row.utterance
    if column in utterance.extra:
        return utterance.extra[column]
    if column not in UTTERANCE_COLUMNS or column in _MADE_BY_PREPARE:
        columns = [name for name in UTTERANCE_COLUMNS if name not in _MADE_BY_PREPARE] + list(utterance.extra)
        raise ValueError(f"{split}: --hold-out {column}=...: there is no such column ({row.place}); there are {' '.join(columns)}")
    return getattr(utterance, column)
