"""The two jobs of a teacher that fairseq-train made: to translate a split, or to store its probabilities of the split's targets."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.data.teacher_cache import TopKWriter
from speechllm_plugin.distillation import fairseq_teacher, kd_file, teacher_output
from speechllm_plugin.distillation.fairseq_teacher import Teacher


class TeacherSearch(NamedTuple):
    """The options of the teacher's search; a translation has at most max_len_a * (source tokens) + max_len_b tokens."""

    beam: int
    lenpen: float
    max_len_a: float
    max_len_b: int


def translate(teacher: Teacher, rows: Sequence[Utterance], path: Path, split: str, k: int, search: TeacherSearch, *, fp16: bool, max_tokens: int):
    """The k best hypotheses (score, text) of every row, in the order of the rows.

    Args:
        path: the KD file that gets them; what an earlier run has left there is not translated again.
        max_tokens: source tokens of a batch.

    Raises:
        ValueError: the KD file was begun with another teacher, other rows or options.
    """
    options = {**search._asdict(), "fp16": fp16}
    description = kd_file.describe(rows, teacher=teacher.name, split=split, k=k, options=options)
    with kd_file.Writer(path, description) as writer:
        lengths = (search.max_len_a, search.max_len_b)
        teacher.translate(rows, writer, beam=search.beam, lenpen=search.lenpen, max_len=lengths, max_tokens=max_tokens)
    return teacher_output.join(path, rows)


def store_top_k(teacher: Teacher, rows: Sequence[Utterance], data, config_yaml: str, split: str, k: int, out, *, max_tokens: int) -> None:
    """Write the cache of a split: the k most probable tokens at every position of the rows' targets.

    Args:
        data, config_yaml: the student's data folder and configuration.
        out: folder of the cache; an unfinished one is gone on with.

    Raises:
        ValueError: the teacher has another target vocabulary than the student, or k is more than that has.
    """
    student = fairseq_teacher.open_student(data, config_yaml)
    fairseq_teacher.check_same_targets(teacher, student)
    num_types = len(student.target_dictionary)
    if k > num_types:
        raise ValueError(f"--word-level must be at most the {num_types:,} types of the target vocabulary, but is {k}")
    facts = {"vocabulary": student.target.digest(), "num_types": num_types, "k": k}
    writer = TopKWriter(out, facts | {"split": split, "teacher": teacher.name})
    teacher.write_top_k(rows, student, writer, max_tokens=max_tokens)
    writer.close()
