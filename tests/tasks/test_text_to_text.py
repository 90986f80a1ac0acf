"""The teacher's task: batches hold every row's texts, the model sees no neighbour, hypotheses begin with the row's tag."""

import numpy as np
import pytest
import torch
from fairseq.dataclass.configs import GenerationConfig
from small_teacher import make_folder, make_rows, make_teacher

from speechllm_plugin.tasks.text_task import SpeechLLMTextToTextTask, TextToTextTaskConfig

PAD, EOS = 1, 2
ROWS = make_rows(13)


@pytest.fixture(params=[False, True], ids=["plain", "tags"])
def folder(request, tmp_path):
    return make_folder(tmp_path / "data", tags=request.param, train=ROWS, dev=ROWS[:3])


def load(folder, split="train", training=True):
    task = SpeechLLMTextToTextTask(TextToTextTaskConfig(data=str(folder), seed=1))
    task.load_dataset(split, combine=training)
    return task, task.datasets[split]


def test_a_batch_holds_both_texts_of_its_rows(folder):
    task, dataset = load(folder)
    chosen = [4, 0, 7]
    batch = dataset.collater([dataset[row] for row in chosen])
    assert batch["id"].tolist() == chosen and batch["nsentences"] == 3
    num_tokens = 0
    for position, row in enumerate(chosen):
        source = [task.source_dictionary.index(word) for word in ROWS[row].src_text.split()] + [EOS]
        target = [task.target_dictionary.index(word) for word in ROWS[row].tgt_text.split()] + [EOS]
        tag = [task.target_dictionary.index(f"<lang:{ROWS[row].tgt_lang}>")] if task.data_config.prepend_tgt_lang_tag else []
        length = int(batch["net_input"]["src_lengths"][position])
        assert batch["net_input"]["src_tokens"][position, :length].tolist() == source
        assert (batch["net_input"]["src_tokens"][position, length:] == PAD).all()
        assert batch["target"][position, : len(tag + target)].tolist() == [PAD] * len(tag) + target
        assert batch["net_input"]["prev_output_tokens"][position, : len(tag + target)].tolist() == [EOS, *tag, *target][:-1]
        num_tokens += len(target)
    assert batch["ntokens"] == num_tokens


def test_batches_by_tokens_hold_every_row_once(folder):
    _, dataset = load(folder)
    sizes = dataset.num_tokens_vec(np.arange(13))
    batches = dataset.batch_by_size(dataset.ordered_indices(), max_tokens=20, required_batch_size_multiple=8)
    assert sorted(row for batch in batches for row in batch) == list(range(13)) and len(batches) > 3
    assert all(len(batch) * sizes[batch].max() <= 20 for batch in batches)
    assert [dataset.num_tokens(row) for row in range(13)] == [max(dataset.size(row)) for row in range(13)]


def test_neighbours_in_a_batch_change_nothing(folder):
    teacher = make_teacher(folder)
    dataset = teacher.task.text_dataset(ROWS)
    together = dataset.collater([dataset[row] for row in range(6)])
    logits = teacher.model(**together["net_input"])[0]
    for row in range(6):
        alone = teacher.model(**dataset.collater([dataset[row]])["net_input"])[0]
        torch.testing.assert_close(logits[row, : alone.size(1)], alone[0])


def test_hypotheses_begin_with_the_tag_of_their_row(tmp_path):
    teacher = make_teacher(make_folder(tmp_path, tags=True, train=ROWS))
    dataset = teacher.task.text_dataset(ROWS)
    generator = teacher.task.build_generator([teacher.model], GenerationConfig(beam=2, max_len_b=6))
    batch = dataset.collater([dataset[row] for row in range(5)])
    for row, best in zip(batch["id"].tolist(), teacher.task.inference_step(generator, [teacher.model], batch)):
        assert best[0]["tokens"][0] == teacher.task.target.tag(ROWS[row].tgt_lang)


def test_rows_that_are_too_long_are_named_outside_training(folder):
    task, dataset = load(folder, "dev", training=False)
    longest = max(range(3), key=lambda row: dataset.size(row)[0])
    limit = dataset.size(longest)[0] - 1
    with pytest.raises(ValueError, match=rf"row {longest} \(utterance utt_{longest}\) has {limit + 1} tokens and"):
        task.filter_indices_by_size(np.array([longest]), dataset, (limit, 1024))


def test_epochs_order_equal_lengths_anew(folder):
    _, dataset = load(folder)
    np.random.seed(1)
    one, other = dataset.ordered_indices(), dataset.ordered_indices()
    assert (one != other).any() and (dataset.num_tokens_vec(one) == dataset.num_tokens_vec(other)).all()


def test_data_without_transcripts_is_refused(tmp_path):
    folder = make_folder(tmp_path)
    (folder / "config.yaml").write_text("vocab_filename: target.txt\n")
    with pytest.raises(ValueError, match=r"config.yaml: .*transcript_vocab_filename"):
        load(folder)


def test_a_checkpoint_of_other_vocabularies_is_refused(folder):
    task, _ = load(folder)
    with pytest.raises(ValueError, match="transcript vocabulary is not the one"):
        task.load_state_dict({"vocabularies": {"transcript": "another"}})
