"""A teacher's texts in a manifest: the columns kd_text, kd_text_2, kd_text_3 ..., the best first, that speechllm distill writes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from speechllm_plugin.data import manifest


def kd_column(rank: int) -> str:
    """The column of the text with this rank, from 1."""
    return "kd_text" if rank == 1 else f"kd_text_{rank}"


def kd_texts(path: str | Path, columns: Mapping[str, Sequence[str]], several: bool) -> list[list[str]]:
    """The teacher's texts of every row: the first only, or `several`, as many as the row has.

    Args:
        path: of the manifest, for errors.
        columns: of some rows, or all of them.

    Raises:
        ValueError: a column is missing, or a row has no text.
    """
    names = [name for name in map(kd_column, range(1, len(columns) + 1)) if name in columns]
    if "kd_text" not in names:
        raise ValueError(
            f"{path}: sequence_kd learns from a teacher's texts, but there is no column kd_text: add it with speechllm distill "
            "(validation needs it as well, or --disable-validation), or give --kd-weight 0"
        )
    if several and len(names) < 2:
        raise ValueError(f"{path}: sample_kd_texts draws among kd_text, kd_text_2 ..., but has kd_text only: distill k-best or remove it")
    if not all(map(str.strip, columns["kd_text"])):
        _refuse_empty(path)
    return [[text for text in texts if text.strip()] for texts in zip(*(columns[name] for name in names[: None if several else 1]))]


def _refuse_empty(path: str | Path) -> NoReturn:
    rows = manifest.read(path)
    empty = [(line, row.id) for line, row in enumerate(rows, 2) if not row.extra["kd_text"].strip()]
    line, first = empty[0]
    raise ValueError(
        f"{path}:{line}: kd_text must not be empty (utterance {first}), but is in {len(empty):,} of {len(rows):,} rows: "
        "distill again, or drop these rows"
    )
