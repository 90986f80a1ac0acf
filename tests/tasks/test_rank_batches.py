"""How the batches of an epoch are shared among ranks."""

import logging

import numpy as np
import pytest
from fairseq.data.iterators import GroupedIterator
from tiny_model import make_data, task

from speechllm_plugin.tasks.rank_batches import divided

LENGTHS = [13, 57, 9, 40, 13, 22, 57, 31, 9, 44, 18, 52, 36, 27]


def iterator_of(num_ranks=1, rank=0, epoch=1, lengths=LENGTHS, repeats=None, max_tokens=120, **options):
    data = make_data(lengths)
    data.shuffle, data.length_noise, data.repeats = True, 0.2, repeats
    sizes = {"max_tokens": max_tokens, "required_batch_size_multiple": 1}
    return task().get_batch_iterator(data, **sizes, num_shards=num_ranks, shard_id=rank, epoch=epoch, **options)


def rows_of(iterator, update_freq=1):
    """Of each update the rows of its batches, sorted."""
    grouped = GroupedIterator(iterator.next_epoch_itr(), update_freq)
    return [sorted(row for batch in update if batch for row in batch["id"].tolist()) for update in grouped]


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize("num_ranks", [2, 3, 4])
def test_an_update_of_several_ranks_has_the_rows_of_one_rank_with_as_many_batches(num_ranks, epoch):
    ranks = [rows_of(iterator_of(num_ranks, rank, epoch)) for rank in range(num_ranks)]
    assert len({len(updates) for updates in ranks}) == 1
    together = [sorted(sum(update, [])) for update in zip(*ranks)]
    assert all(sum(map(bool, update)) == min(num_ranks, len(rows)) for update, rows in zip(zip(*ranks), together))  # nobody idles if it can be
    assert together == rows_of(iterator_of(epoch=epoch), update_freq=num_ranks)
    assert len(iterator_of(num_ranks)) == len(together)


def test_batches_that_are_divided_have_all_rows_and_grow_nowhere():
    batches = [np.arange(5), np.array([7])]
    parts = divided(batches, 4)
    assert sorted(map(len, parts)) == [1, 1, 2, 2] and sorted(np.concatenate(parts)) == [0, 1, 2, 3, 4, 7]
    assert [len(part) for part in divided([np.array([3])], 3)] == [1, 0, 0]


@pytest.mark.parametrize(("before", "now", "done", "again"), [(1, 2, 2, 0), (2, 1, 1, 0), (1, 2, 3, 1), (4, 3, 1, 1), (2, 2, 1, 0)])
def test_another_number_of_ranks_goes_on_behind_what_was_done(before, now, done, again, caplog):
    caplog.set_level(logging.WARNING)
    first = [iterator_of(before, rank) for rank in range(before)]
    read = [iterator.next_epoch_itr() for iterator in first]
    seen = [row for batches in read for _ in range(done) for row in next(batches)["id"].tolist()]
    state = first[0].state_dict()
    assert state["num_ranks"] == before
    rest = [iterator_of(now, rank) for rank in range(now)]
    for iterator in rest:
        iterator.load_state_dict(state)
    rows = [row for iterator in rest for update in rows_of(iterator) for row in update]
    assert set(seen) | set(rows) == set(range(len(LENGTHS)))
    repeated = sorted(set(seen) & set(rows))
    assert len(seen) + len(rows) == len(LENGTHS) + len(repeated)
    assert bool(repeated) == bool(again)
    assert [record.getMessage() for record in caplog.records if f"{again} of its {done * before} batches" in record.getMessage()] == (
        [
            f"the checkpoint was made within epoch 1 by {before} ranks, and now there are {now}: {again} of its {done * before} batches so far are "
            "learnt from again"
        ]
        * now
        if again
        else []
    )


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_with_buckets_all_ranks_have_the_same_shape_at_once(num_ranks, monkeypatch):
    monkeypatch.setattr(task().cfg, "num_batch_buckets", 3)
    lengths = np.random.default_rng(1).integers(5, 60, 101)
    ranks, states = [], []
    for rank in range(num_ranks):
        iterator = iterator_of(num_ranks, rank, lengths=lengths)
        ranks.append(list(iterator.next_epoch_itr()))
        states.append(iterator.state_dict())
    assert states[0]["num_ranks"] == num_ranks
    assert_shapes_are_shared(ranks)
    assert sorted(row for batches in ranks for batch in batches for row in batch["id"].tolist()) == list(range(101))


def test_rows_that_come_again_do_not_mix_up_shapes(monkeypatch):
    """Rows alone in their batches, which wait for a longer shape at times, and at times do not."""
    monkeypatch.setattr(task().cfg, "num_batch_buckets", 4)
    lengths, repeats = np.random.default_rng(26).integers(30, 60, 52), np.array([1.7] * 26 + [0.3] * 26)
    for epoch in range(1, 6):
        assert_shapes_are_shared([list(iterator_of(3, rank, epoch, lengths, repeats, 70).next_epoch_itr()) for rank in range(3)])


def assert_shapes_are_shared(ranks):
    """Of batches of each rank those that come at a time, but for the last ones."""
    assert len({len(batches) for batches in ranks}) == 1
    without = 0
    for batches in zip(*ranks):
        assert len({bool(batch and batch["has_shape"]) for batch in batches}) == 1
        if not batches[0]["has_shape"]:
            without += 1
            continue
        shapes = {(*batch["net_input"]["src_tokens"].shape, *batch["target"].shape, *batch["transcript"].shape) for batch in batches}
        assert len(shapes) == 1
    assert without <= 1 < len(ranks[0])


def test_with_buckets_another_number_of_ranks_begins_the_epoch_anew(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(task().cfg, "num_batch_buckets", 3)
    iterator = iterator_of(2)
    next(iterator.next_epoch_itr())
    other = iterator_of(1)
    other.load_state_dict(iterator.state_dict())
    assert sorted(sum(rows_of(other), [])) == list(range(len(LENGTHS)))
    assert "by 2 ranks, and now there are 1: the epoch begins anew, as --num-batch-buckets makes other batches for them" in caplog.text
