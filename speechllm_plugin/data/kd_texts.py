"""A teacher's texts in a manifest: the columns kd_text, kd_text_2, kd_text_3 ..., the best first, that speechllm distill writes."""

from collections.abc import Sequence

from speechllm_plugin.data.manifest import Utterance


def kd_column(rank: int) -> str:
    """The column of the text with this rank, from 1."""
    return "kd_text" if rank == 1 else f"kd_text_{rank}"


def kd_texts(path, rows: Sequence[Utterance], several: bool) -> list[list[str]]:
    """The teacher's texts of every row: the first only, or `several`, as many as the row has.

    Raises:
        ValueError: a column is missing, or a row has no text.
    """
    columns = [column for column in map(kd_column, range(1, len(rows[0].extra) + 2)) if column in rows[0].extra]
    if "kd_text" not in columns:
        raise ValueError(
            f"{path}: sequence_kd learns from a teacher's texts, but there is no column kd_text: add it with speechllm distill "
            "(validation needs it as well, or --disable-validation), or give --kd-weight 0"
        )
    if several and len(columns) < 2:
        raise ValueError(f"{path}: sample_kd_texts draws among kd_text, kd_text_2 ..., but has kd_text only: distill k-best or remove it")
    empty = [(line, row.id) for line, row in enumerate(rows, 2) if not row.extra["kd_text"].strip()]
    if empty:
        line, first = empty[0]
        raise ValueError(
            f"{path}:{line}: kd_text must not be empty (utterance {first}), but is in {len(empty):,} of {len(rows):,} rows: "
            "distill again, or drop these rows"
        )
    return [[text for text in (row.extra[column] for column in columns[: None if several else 1]) if text.strip()] for row in rows]
