"""The modes of `speechllm distill`: which rows a manifest gets from its rows and a teacher's translations of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import sacrebleu

from speechllm_plugin.data.kd_texts import kd_column
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.distillation.kd_file import source_hash

HASH_COLUMN = "kd_source_hash"
Hypotheses = Sequence[tuple[float, str]]  # of one row: (score, text), the best first


@dataclass(frozen=True)
class Mode:
    """One mode of `speechllm distill`.

    rows: rows(row, hypotheses) -> the rows in its place.
    choose: choose(row, hypotheses) -> the ones that go on; None is all.
    default_k: hypotheses per row to look at where the user gives no number; None is all there are.
    settings: keys that the data configuration gets.
    """

    rows: Callable[[Utterance, Hypotheses], list[Utterance]]
    help: str
    choose: Callable[[Utterance, Hypotheses], Hypotheses] | None = None
    default_k: int | None = 1
    settings: dict[str, bool] = field(default_factory=dict)


def apply(mode: str, rows: Sequence[Utterance], hypotheses: Sequence[Hypotheses]) -> list[Utterance]:
    """The distilled rows; for `append` all rows as they were stand first.

    Columns of an earlier distillation are replaced.

    Raises:
        ValueError: a new row has the id of another.
    """
    cleared = [replace(row, extra={name: value for name, value in row.extra.items() if not name.startswith("kd_")}) for row in rows]
    made = [new for row, best in zip(cleared, hypotheses) for new in MODES[mode].rows(row, best)]
    if mode == "append":
        made = [_scored(row, row.id, row.tgt_text, None) for row in cleared] + made
    seen = set()
    for row in made:
        if row.id in seen:
            raise ValueError(f"--mode {mode} makes a row with the id {row.id!r}, which another row has: the manifest is distilled already")
        seen.add(row.id)
    return made


def filled(rows: Sequence[Utterance], hypotheses: Sequence[Hypotheses], take_reference: bool) -> list[Hypotheses]:
    """The hypotheses, with tgt_text in place of empty ones; training takes no empty text.

    Raises:
        ValueError: a text is empty, and the reference is not to be taken.
    """
    empty = [row.id for row, best in zip(rows, hypotheses) for _, text in best if not text.strip()]
    if empty and not take_reference:
        raise ValueError(
            f"{len(empty):,} of {sum(map(len, hypotheses)):,} translations are empty, the first is of utterance {empty[0]!r}: "
            "give --empty reference to take tgt_text there, or another teacher"
        )
    return [[(score, text if text.strip() else row.tgt_text) for score, text in best] for row, best in zip(rows, hypotheses)]


def columns(row, hypotheses):
    """The row, and the texts in columns of their own."""
    texts = {HASH_COLUMN: source_hash(row)}
    for rank, (score, text) in enumerate(hypotheses, 1):
        texts |= {kd_column(rank): text, kd_column(rank).replace("text", "score"): f"{score:.6f}"}
    return [replace(row, extra=row.extra | texts)]


def replaced(row, hypotheses):
    return [_scored(row, row.id, hypotheses[0][1], hypotheses[0][0])]


def appended(row, hypotheses):
    return [_scored(row, f"{row.id}_kd", hypotheses[0][1], hypotheses[0][0])]


def k_rows(row, hypotheses):
    return [_scored(row, f"{row.id}_kd{rank}", text, score) for rank, (score, text) in enumerate(hypotheses, 1)]


def closest(row, hypotheses):
    """The hypothesis with the highest sentence BLEU against the reference; of equal ones the best.

    Source: Kim and Rush 2016, Sequence-Level Knowledge Distillation (arXiv:1606.07947), section 3.3.
    """
    return [max(hypotheses, key=lambda hypothesis: sacrebleu.sentence_bleu(hypothesis[1], [row.tgt_text]).score)]


def _scored(row, row_id, text, score):
    """The row with another target; kd_score is empty where the target is the reference."""
    facts = {HASH_COLUMN: source_hash(row), "kd_score": "" if score is None else f"{score:.6f}"}
    return replace(row, id=row_id, tgt_text=text, extra=row.extra | facts)


MODES = {
    "columns": Mode(columns, "the same rows with kd_text and kd_score, for --criterion sequence_kd"),
    "replace": Mode(replaced, "tgt_text becomes the teacher's text"),
    "append": Mode(appended, "the original rows, then the distilled ones with _kd behind their ids (the paper's)"),
    "kbest": Mode(k_rows, "k rows instead of each, one per translation, with _kd1, _kd2 ... behind their ids", default_k=None),
    "interpolate": Mode(
        replaced,
        "tgt_text becomes the one of the k translations that is closest to it by sentence BLEU",
        choose=closest,
        default_k=None,
    ),
    "sampled": Mode(
        columns,
        "k columns kd_text, kd_text_2 ...; sequence_kd draws one of them per utterance and epoch",
        default_k=None,
        settings={"sample_kd_texts": True},
    ),
}
OF_THE_BEST = ("replace", "append")  # have no use for a second translation
