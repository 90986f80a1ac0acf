"""A teacher's translations from files, joined with the rows that they are translations of."""

from collections.abc import Callable, Sequence
from pathlib import Path

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.distillation import kd_file
from speechllm_plugin.outputs import teacher_texts


def is_kd_file(path) -> bool:
    """Whether a file, or the description beside it, says that it is a KD file."""
    with open(path, "rb") as file:
        return kd_file.description_path(path).is_file() or file.readline().rstrip() == "\t".join(kd_file.KD_COLUMNS).encode()


def load(paths, rows: Sequence[Utterance], renderings: Callable[[], Callable[[str], Sequence[str]]]) -> list[list[tuple[float, str]]]:
    """The hypotheses (score, text) of every row, the best first: of one KD file, or of the output of fairseq-generate.

    Args:
        renderings: makes the function of the same name that `teacher_texts.read` takes. It loads the student's vocabularies, so it is called
            only for the output of fairseq-generate.

    Raises:
        ValueError: the files are not translations of exactly these rows.
    """
    kd_files = [path for path in paths if is_kd_file(path)]
    if not kd_files:
        return teacher_texts.read(paths, rows, renderings())
    if len(paths) > 1:
        raise ValueError(f"{kd_files[0]}: is a KD file, of which --teacher-output takes one, but there are {len(paths)} files: give one")
    return join(paths[0], rows)


def join(path, rows: Sequence[Utterance]) -> list[list[tuple[float, str]]]:
    """The hypotheses of every row in a KD file.

    Raises:
        ValueError: an utterance is in only one of the two, or its source text or languages differ.
    """
    translations, split = kd_file.read(path), kd_file.read_description(path)["split"]
    ids = {row.id for row in rows}
    for problem, found, total in (
        ("are not in the manifest", [utterance_id for utterance_id in translations if utterance_id not in ids], len(translations)),
        ("have no translation", [row.id for row in rows if row.id not in translations], len(rows)),
        (
            "have another source text or other languages than when they were translated",
            [row.id for row in rows if row.id in translations and translations[row.id][0] != kd_file.source_hash(row)],
            len(rows),
        ),
    ):
        if found:
            raise ValueError(
                f"{path} (translations of split {split}): {len(found):,} of {total:,} utterances {problem}, the first is {found[0]!r}: "
                "give the file of this split and manifest, or translate again"
            )
    return [translations[row.id][1] for row in rows]


def name_of_teacher(path) -> str:
    """The name of the teacher: what a KD file says, else the name of the file."""
    return kd_file.read_description(path)["teacher"] if is_kd_file(path) else Path(path).name


def check_sources(path, rows: Sequence[Utterance]) -> None:
    """Raise ValueError if a row of a manifest has nothing to translate."""
    empty = [row.id for row in rows if not row.src_text.strip()]
    if empty:
        raise ValueError(
            f"{path}: a teacher translates src_text, but it is empty in {len(empty):,} of {len(rows):,} rows, the first is {empty[0]!r}: "
            "fill it in or drop these rows"
        )
