"""A fairseq teacher that runs: what it writes is its search's and its probabilities, whatever the batches and interruptions."""

import math

import numpy as np
import pytest
import torch
from fairseq.dataclass.configs import GenerationConfig
from small_teacher import make_folder, make_rows, make_teacher

from speechllm_plugin.data.teacher_cache import TopKCache, TopKWriter
from speechllm_plugin.distillation import fairseq_teacher, kd_file

ROWS = make_rows(14)
K = 3
SEARCH = {"beam": 4, "lenpen": 1.0, "max_len": (1.0, 3)}


@pytest.fixture(params=[False, True], ids=["plain", "tags"])
def teacher(request, tmp_path):
    return make_teacher(make_folder(tmp_path / "data", tags=request.param, train=ROWS))


class Interrupted(Exception):
    pass


def translate(teacher, path, max_tokens=30, stop_after=None):
    """Writes a KD file, or is cut off after some blocks; returns how many blocks it wrote."""
    description = kd_file.describe(ROWS, teacher=teacher.name, split="train", k=K, options={})
    with kd_file.Writer(path, description) as writer:
        blocks, write = [], writer.write

        def counted(block):
            if len(blocks) == stop_after:
                raise Interrupted
            blocks.append(block)
            write(block)

        writer.write = counted
        teacher.translate(ROWS, writer, max_tokens=max_tokens, **SEARCH)
    return len(blocks)


def assert_same_translations(one, other):
    assert one.keys() == other.keys()
    for utterance_id, (digest, hypotheses) in one.items():
        assert digest == other[utterance_id][0]
        assert [text for _, text in hypotheses] == [text for _, text in other[utterance_id][1]]
        np.testing.assert_allclose([score for score, _ in hypotheses], [score for score, _ in other[utterance_id][1]], atol=2e-5)


def test_translations_are_those_of_a_search_sentence_by_sentence(teacher, tmp_path):
    task = teacher.task
    translate(teacher, tmp_path / "kd.tsv")
    found = kd_file.read(tmp_path / "kd.tsv")
    generator = task.build_generator([teacher.model], GenerationConfig(beam=4, nbest=K, max_len_a=1, max_len_b=3))
    dataset = task.text_dataset(ROWS)
    for number, row in enumerate(ROWS):
        [best] = task.inference_step(generator, [teacher.model], dataset.collater([dataset[number]]))
        for (score, text), hypothesis in zip(found[row.id][1], best[:K], strict=True):
            words = [task.target_dictionary[token] for token in hypothesis["tokens"]]
            assert text.split() == [word for word in words if word != "</s>" and not word.startswith("<lang:")]
            assert score == pytest.approx(float(hypothesis["score"]) / math.log(2), abs=2e-5)
    assert len({tuple(hypotheses) for _, hypotheses in found.values()}) > 10


def test_a_run_cut_off_in_the_middle_loses_and_doubles_nothing(teacher, tmp_path):
    num_blocks = translate(teacher, tmp_path / "whole.tsv")
    whole = kd_file.read(tmp_path / "whole.tsv")
    assert num_blocks > 4
    for stop_after in (0, 1, num_blocks - 1):
        path = tmp_path / f"{stop_after}.tsv"
        with pytest.raises(Interrupted):
            translate(teacher, path, stop_after=stop_after)
        with open(path, "a") as file:
            file.write("utt_0\thalf a li")
        assert translate(teacher, path) == num_blocks - stop_after
        assert_same_translations(kd_file.read(path), whole)
        assert path.read_text().count("\n") == 1 + K * len(ROWS)


def top_k(teacher, folder, k, max_tokens=30, rows=ROWS):
    student = fairseq_teacher.open_student(teacher.task.cfg.data, "config.yaml")
    facts = {"vocabulary": student.target.digest(), "num_types": len(student.target_dictionary), "k": k, "split": "train", "teacher": "t"}
    writer = TopKWriter(folder, facts)
    teacher.write_top_k(rows, student, writer, max_tokens=max_tokens)
    return writer, student


@pytest.mark.parametrize("whole_vocabulary", [False, True])
def test_probabilities_are_those_of_every_target_alone(whole_vocabulary, teacher, tmp_path):
    """Position by position: the teacher reads the target up to there, in a batch of its own."""
    k = len(teacher.task.target_dictionary) if whole_vocabulary else 4
    writer, student = top_k(teacher, tmp_path / "cache/train", k)
    writer.close()
    targets = [student.encode_target(row.id, row.tgt_text, row.tgt_lang) for row in ROWS]
    cache = TopKCache(tmp_path / "cache/train", student.target.digest(), [row.id for row in ROWS], targets)
    for number, row in enumerate(ROWS):
        source = torch.from_numpy(teacher.task.encode_source(row.src_text))[None]
        ids, probabilities = cache[number]
        assert ids.shape == (len(targets[number]), k)
        for position in range(len(targets[number])):
            read = torch.tensor([[2, *targets[number][:position]]])
            logits = teacher.model(source, torch.tensor([source.size(1)]), read)[0][0, -1]
            expected = torch.softmax(logits, dim=-1).detach().numpy()
            np.testing.assert_allclose(probabilities[position], np.sort(expected)[::-1][:k], atol=1e-3)
            np.testing.assert_allclose(probabilities[position], expected[ids[position]], atol=1e-3)


def test_probabilities_cut_off_in_the_middle_go_on(teacher, tmp_path):
    writer, _ = top_k(teacher, tmp_path / "part/train", 4, rows=ROWS[:5])
    writer.flush()
    assert not (tmp_path / "part/train").exists()
    writer, _ = top_k(teacher, tmp_path / "part/train", 4)
    assert len(writer.done) == len(ROWS)
    writer.close()
    top_k(teacher, tmp_path / "whole/train", 4)[0].close()

    def lengths(name):
        return sorted((tmp_path / name / "train/index.tsv").read_text().splitlines())

    assert lengths("part") == lengths("whole") and len(lengths("whole")) == len(ROWS)


def test_rows_beyond_the_teachers_positions_are_named(teacher, tmp_path):
    teacher.task.cfg.max_source_positions = 5
    too_long = [row.id for row in ROWS if len(row.src_text.split()) + 1 > 5]
    with pytest.raises(ValueError, match=rf"{len(too_long)} of 14 rows are longer than the 5 source and 40 target tokens .* 'utt_"):
        translate(teacher, tmp_path / "kd.tsv")


def test_a_teacher_of_another_vocabulary_says_nothing_about_the_students_words(teacher, tmp_path):
    tags = teacher.task.data_config.prepend_tgt_lang_tag
    folder = make_folder(tmp_path / "other", tags=tags)
    words = (folder / "target.txt").read_text().split("\n")
    (folder / "target.txt").write_text("\n".join([*words[:3], "new 1", *words[3:]]))
    other_tags = make_folder(tmp_path / "tags", tags=not tags)
    for data, message in (
        (folder, r"target vocabulary of .*other/config.yaml, but it has 15 types and the student 16 \(first difference: type 7\)"),
        (other_tags, "prepend_tgt_lang_tag is"),
    ):
        with pytest.raises(ValueError, match=message):
            fairseq_teacher.check_same_targets(teacher, fairseq_teacher.open_student(data, "config.yaml"))
