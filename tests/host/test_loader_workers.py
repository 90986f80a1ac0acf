"""Workers of data loaders: none is left when the last batch of an epoch has come."""

import multiprocessing

import pytest
from fairseq.data.iterators import GroupedIterator
from tiny_model import make_data, task

NUM_WORKERS = 2


@pytest.fixture
def epochs():
    """A function from whether fairseq has a thread read ahead to fairseq's iterator over epochs of 7 batches."""

    def make(data_buffer_size=0):
        data = make_data([13, 57, 9, 40, 13, 22, 57])
        return task().get_batch_iterator(data, max_sentences=1, num_workers=NUM_WORKERS, data_buffer_size=data_buffer_size)

    return make


def test_workers_end_with_their_epoch(epochs):
    iterator = epochs()
    for _ in range(2):
        epoch = GroupedIterator(iterator.next_epoch_itr(), 2)  # as the trainer reads
        batches = []
        while epoch.has_next():
            batches += next(epoch)
            assert len(multiprocessing.active_children()) == (NUM_WORKERS if epoch.has_next() else 0)
        assert len(batches) == 7


def test_workers_end_where_fewer_batches_are_wanted(epochs):
    epoch = epochs().next_epoch_itr()
    epoch.take(3)  # as for --max-valid-steps
    assert len(list(epoch)) == 3 and not multiprocessing.active_children()


def test_a_thread_that_reads_ahead_gets_every_batch(epochs):
    assert len(list(epochs(data_buffer_size=2).next_epoch_itr())) == 7
