"""Workers that last longer than an epoch read what the main process reads, in every epoch, and are gone when nobody needs them."""

import gc
import multiprocessing
import threading

import pytest
import torch
from fairseq.data.iterators import GroupedIterator
from tiny_model import make_data, task

from speechllm_plugin.data.augmentation import SpecAugment
from speechllm_plugin.tasks.lasting_workers import LastingWorkers

pytestmark = pytest.mark.gpu  # where a thread pins the batches

LENGTHS = [57, 22, 9, 40, 31, 13, 57, 16, 22, 48, 44, 40, 25]


def train_task(split="train", **settings):
    """A task of its own over data whose masks and order differ with the epoch."""
    made, data = task.__wrapped__(), make_data(LENGTHS)
    data.shuffle, data.augment = True, SpecAugment(freq_mask_N=1, freq_mask_F=4, time_mask_N=1, time_mask_T=5, time_mask_p=1.0)
    made.datasets[split] = data
    vars(made.cfg).update(settings)
    return made


@pytest.fixture
def trained_on():
    """train_task, whose workers end with the test."""
    tasks = []

    def make(*arguments, **settings):
        tasks.append(train_task(*arguments, **settings))
        return tasks[-1]

    yield make
    for each in tasks:
        for ours in each.workers.values():
            ours.end()


def batches_of(task, num_workers, epoch=1, split="train", **options):
    return task.get_batch_iterator(task.dataset(split), max_sentences=2, num_workers=num_workers, epoch=epoch, **options)


def assert_same(actual, expected):
    """Batches, with all their tensors and numbers."""
    torch.testing.assert_close(list(actual), list(expected), rtol=0, atol=0, allow_subclasses=False)


def workers():
    return {process.pid for process in multiprocessing.active_children()}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_every_epoch_is_read_by_the_same_workers_as_without_any(trained_on, num_workers):
    torch.manual_seed(0)
    alone, together = trained_on(), trained_on()
    together.dataset("train").read = alone.dataset("train").read
    seen, epochs = set(), []
    for epoch in (1, 2, 3):
        expected, actual = (list(batches_of(made, number, epoch).next_epoch_itr()) for made, number in ((alone, 0), (together, num_workers)))
        assert_same(actual, expected)
        assert actual[0]["net_input"]["src_tokens"].is_pinned() == torch.cuda.is_available()
        seen |= workers()
        epochs.append(actual)
    assert len(seen) == num_workers
    assert [batch["id"].tolist() for batch in epochs[0]] != [batch["id"].tolist() for batch in epochs[1]]


def test_shapes_of_a_rank_are_told_in_every_epoch(trained_on):
    alone, together = (trained_on(num_batch_buckets=3) for _ in range(2))
    together.dataset("train").read = alone.dataset("train").read
    for epoch in (1, 2, 3):
        expected, actual = (
            list(batches_of(made, number, epoch, shard_id=1, num_shards=2, max_tokens=120).next_epoch_itr())
            for made, number in ((alone, 0), (together, 1))
        )
        assert_same(actual, expected)
        assert any(batch.get("has_shape") for batch in actual)  # empty ones have none


def test_an_epoch_goes_on_where_it_stopped(trained_on):
    made = trained_on()
    batches_of(made, 1, 2).next_epoch_itr()
    whole = list(batches_of(made, 0, 2).next_epoch_itr())
    for done in (3, len(whole) - 1):
        resumed = batches_of(made, 1, 2)
        resumed.load_state_dict({"epoch": 2, "iterations_in_epoch": done})
        assert_same(resumed.next_epoch_itr(), whole[done:])
    with pytest.raises(RuntimeError, match="dataloader mismatch"):
        batches_of(made, 1, 2).load_state_dict({"epoch": 2, "version": 2, "iterations_in_epoch": len(whole)})


def test_an_order_that_begins_later_is_heard_of(trained_on):
    """--curriculum 1: the first epoch is not shuffled."""
    made = trained_on()
    for epoch, shuffle in ((1, False), (2, True)):
        expected, actual = (list(batches_of(made, number, epoch).next_epoch_itr(shuffle=shuffle)) for number in (0, 1))
        assert_same(actual, expected)


def test_validations_are_read_by_the_same_workers(trained_on):
    """fairseq keeps their iterator, and leaves the epoch of the data at 1; --max-valid-steps ends them early."""
    made = trained_on("dev")
    made.dataset("dev").shuffle = False
    expected = list(batches_of(made, 0, split="dev").next_epoch_itr(shuffle=False, set_dataset_epoch=False))
    made.dataset_to_epoch_iter.clear()
    seen = set()
    for most in (len(expected), 3, 2, len(expected)):
        validation = batches_of(made, 1, split="dev").next_epoch_itr(shuffle=False, set_dataset_epoch=False)
        validation.take(most)
        assert_same(validation, expected[:most])
        seen |= workers()
    assert len(seen) == 1


@pytest.mark.parametrize("data_buffer_size", [0, 2])
def test_an_epoch_within_an_epoch_has_workers_of_its_own(trained_on, data_buffer_size):
    """As where the training data are validated on."""
    made = trained_on()
    expected = list(batches_of(made, 0).next_epoch_itr())
    outer = GroupedIterator(batches_of(made, 1, data_buffer_size=data_buffer_size).next_epoch_itr(), 2)
    read = [*next(outer)]
    lasting = workers()
    assert_same(batches_of(made, 1).next_epoch_itr(), expected)
    assert workers() == lasting and len(lasting) == 1
    for group in outer:
        read += group
    assert_same(read, expected)


def test_workers_end_with_their_data_their_number_and_their_task():
    made, ended = train_task(), set()
    for data in (made.dataset("train"), train_task().dataset("train")):
        made.datasets["train"] = data
        for number in (1, 2):
            next(batches_of(made, number).next_epoch_itr())
            assert len(workers()) == number and not workers() & ended
            ended |= workers()
    del made
    gc.collect()
    assert not workers()


def test_workers_that_have_read_nothing_end_where_no_thread_can_start(monkeypatch):
    """As at exit, from Python 3.12 on."""

    def start(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    before = workers()
    ours = LastingWorkers(train_task().dataset("train"), 2, 0)
    assert len(workers() - before) == 2
    monkeypatch.setattr(threading.Thread, "start", start)
    ours.end()
    monkeypatch.undo()
    assert workers() == before


def test_data_that_no_split_has_get_workers_that_end_with_their_epoch(trained_on):
    made = trained_on()
    iterator = made.get_batch_iterator(make_data(LENGTHS), max_sentences=2, num_workers=1)
    assert len(list(iterator.next_epoch_itr())) == 7 and not workers()
