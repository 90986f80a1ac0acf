"""The batches that the task gives to fairseq's trainer."""

import logging

import numpy as np
import pytest
from tiny_model import make_data, task

from speechllm_plugin.data.speech_dataset import SpeechTextDataset
from speechllm_plugin.tasks.speech_task import SpeechLLMSpeechToTextTask, SpeechToTextTaskConfig

LENGTHS = [13, 57, 9, 40, 13, 22, 57, 31, 9, 44, 18, 52, 36, 27]


def training_data() -> SpeechTextDataset:
    data = make_data(LENGTHS)
    data.shuffle = True
    return data


@pytest.fixture
def own_task(monkeypatch) -> SpeechLLMSpeechToTextTask:
    monkeypatch.setattr(task().cfg, "num_batch_buckets", 0)
    return task()


def batches(own_task, data, **options):
    iterator = own_task.get_batch_iterator(data, **{"max_tokens": 120, "max_positions": (50, 100), "ignore_invalid_inputs": True} | options)
    return list(iterator.next_epoch_itr())


def test_buckets_make_few_shapes_of_training_batches(own_task, caplog):
    own_task.cfg.num_batch_buckets = 3
    caplog.set_level(logging.INFO)
    data = training_data()
    loaded = batches(own_task, data)
    assert sorted(row for batch in loaded for row in batch["id"].tolist()) == [row for row, length in enumerate(LENGTHS) if length <= 50]
    shapes = {(*batch["net_input"]["src_tokens"].shape[:2], batch["target"].size(1), batch["transcript"].size(1)) for batch in loaded}
    assert 1 < len(data.shapes) <= 3 and len(shapes - set(data.shapes)) <= 1
    named = [record.message for record in caplog.records if record.message.startswith(f"batches of {len(data.shapes)} shapes")]
    batches(own_task, data, epoch=2)
    assert len(named) == 1
    data.shuffle = False  # as in validation
    data.shapes = ()
    batches(own_task, data)
    assert not data.shapes


@pytest.mark.parametrize("noise", [-0.1, 1.0])
def test_noise_on_lengths_is_a_part_of_them(noise):
    cfg = SpeechToTextTaskConfig(data="nowhere", length_noise=noise)
    with pytest.raises(ValueError, match=f"--length-noise must be at least 0 and below 1, but is {noise}"):
        SpeechLLMSpeechToTextTask(cfg)


def test_a_negative_number_of_buckets_is_an_error(own_task):
    own_task.cfg.num_batch_buckets = -1
    with pytest.raises(ValueError, match=r"--num-batch-buckets must not be negative \(0 = no buckets\), but is -1"):
        batches(own_task, training_data())


def test_no_bucket_is_made_of_utterances_that_are_all_too_long(own_task):
    own_task.cfg.num_batch_buckets = 2
    with pytest.raises(ValueError, match="all 14 rows are longer than the 5 frames"):
        batches(own_task, training_data(), max_positions=(5, 100))


def test_without_buckets_batches_are_as_wide_as_they_must_be(own_task):
    for batch in batches(own_task, training_data()):
        lengths = batch["net_input"]["src_lengths"]
        assert batch["net_input"]["src_tokens"].size(1) == lengths.max() <= np.max(LENGTHS)
