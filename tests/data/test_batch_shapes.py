"""Batches of few shapes: every utterance once, in one of the shapes, for little padding, and no other loss."""

import itertools

import numpy as np
import pytest
import torch
from tiny_model import batch_of, make_data, make_model, task

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropy
from speechllm_plugin.data import batch_shapes
from speechllm_plugin.data.batch_shapes import bucket_of, cheapest_edges, described, plan_shapes, rows_of_batch, shape_of

LIMITS = {"max_tokens": 200, "max_sentences": None, "multiple": 2}


def corpus_lengths(number, seed=0):
    """(number, 3) frames, target and transcript tokens as MuST-C has them: log-normal, up to 30 s, 3.9 tokens a second or so."""
    rng = np.random.default_rng(seed)
    frames = np.clip(rng.lognormal(6.18, 0.75, number), 20, 3000).astype(int)
    tokens = [np.maximum(2, frames * 0.039 * np.exp(rng.normal(0, 0.15, number))).astype(int) for _ in range(2)]
    return np.stack([frames, *tokens], axis=1)


def with_shapes(lengths, most, **limits):
    data = make_data(lengths)
    data.shapes = plan_shapes(data.lengths(np.arange(len(data))), most, **LIMITS | limits)
    return data


@pytest.mark.parametrize(("max_tokens", "max_sentences", "multiple"), [(10_000, None, 8), (320_000, 500, 8), (None, 16, 1), (3000, None, 8)])
@pytest.mark.parametrize("most", [1, 6, 32])
@pytest.mark.parametrize("number", [1, 7, 3000])
def test_every_utterance_is_in_one_batch_of_few_shapes(number, most, max_tokens, max_sentences, multiple):
    lengths = corpus_lengths(number)
    shapes = plan_shapes(lengths, most, max_tokens, max_sentences, multiple)
    indices = np.random.permutation(number)
    batches = batch_shapes.batches(indices, lengths[indices], shapes)
    assert sorted(np.concatenate(batches)) == list(range(number))
    assert 1 <= len(shapes) <= most
    without_shape = [batch for batch in batches if shape_of(lengths[batch], shapes) is None]
    assert len(without_shape) <= 1
    for shape in shapes:
        assert shape.num_sentences <= (max_sentences or number) and shape.num_sentences * shape.num_frames <= (max_tokens or np.inf)
        assert shape.num_sentences < multiple or shape.num_sentences % multiple == 0
    for batch in batches:
        shape = shape_of(lengths[batch], shapes) or shapes[-1]
        assert (lengths[batch] <= shape[1:]).all() and len(batch) <= shape.num_sentences


def test_edges_are_the_cheapest_of_all():
    rng = np.random.default_rng(3)
    for _ in range(20):
        edges = np.sort(rng.choice(np.arange(1, 40), 7, replace=False))
        counts = rng.integers(1, 9, 7)
        num_rows = rows_of_batch(edges, counts.sum(), 60, None, 2)
        below = np.concatenate([[0], counts.cumsum()])
        for most in (1, 2, 4, 7):
            inner_edges = [inner for number in range(most) for inner in itertools.combinations(range(6), number)]
            possible = [[*inner, 6] for inner in inner_edges if fills(inner, below, num_rows)]
            chosen = cheapest_edges(edges, below, num_rows, most)
            assert chosen in possible
            assert padded_sum(chosen, edges, below) == min(padded_sum(other, edges, below) for other in possible)


def fills(inner, below, num_rows):
    """Whether every bucket but the last has the rows of a batch."""
    starts = [0, *(edge + 1 for edge in inner)]
    return all(below[edge + 1] - below[start] >= num_rows[edge] for start, edge in zip(starts, inner))


def padded_sum(chosen, edges, below):
    starts = [0, *(edge + 1 for edge in chosen)]
    return sum((below[edge + 1] - below[start]) * edges[edge] for start, edge in zip(starts, chosen))


def test_32_shapes_pad_a_corpus_by_less_than_5_percent():
    lengths = corpus_lengths(60_000)
    for max_tokens in (10_000, 40_000):
        shapes = plan_shapes(lengths, 32, max_tokens, None, 8)
        indices = np.random.default_rng(1).permutation(len(lengths))
        batches = batch_shapes.batches(indices, lengths[indices], shapes)
        frames = sum(len(batch) * (shape_of(lengths[batch], shapes) or shapes[-1]).num_frames for batch in batches)
        assert frames < 1.05 * lengths[:, 0].sum()


def test_a_batch_is_as_wide_as_its_shape():
    data = with_shapes([13, 57, 1, 40, 13, 22, 57, 31, 9, 44, 18], most=3)
    data.shuffle = True
    batches = data.batch_by_size(data.ordered_indices())
    assert len({len(batch) for batch in batches}) > 1
    num_with_shape = 0
    for rows in batches:
        batch = batch_of(data, rows)
        inputs = batch["net_input"]
        shape = (*inputs["src_tokens"].shape[:2], batch["target"].size(1), batch["transcript"].size(1))
        num_with_shape += shape in data.shapes
        assert inputs["prev_output_tokens"].shape == batch["target"].shape
        assert inputs["src_lengths"].tolist() == sorted(data.num_frames[rows].tolist(), reverse=True)
        assert batch["ntokens"] == data.num_targets[rows].sum() and batch["nframes"] == data.num_frames[rows].sum()
    assert num_with_shape >= len(batches) - 1


@pytest.mark.parametrize("variant", [("conformer", "xl", "weighted"), ("transformer", "none", "none")])
@pytest.mark.parametrize("decoder", ["dfp", "xattn"])
def test_losses_do_not_depend_on_shapes(decoder, variant):
    criterion, model = CTCCrossEntropy(task(), 0.1, 0.5, False), make_model(decoder, variant)
    data = with_shapes([57, 40, 31, 1, 57, 22], most=2)
    for rows in ([0, 4], [1, 2, 3, 5], [3]):
        shaped = batch_of(data, rows)
        data.shapes, shapes = (), data.shapes
        plain = batch_of(data, rows)
        data.shapes = shapes
        expected, size, log = criterion(model, plain)
        actual, same_size, same_log = criterion(model, shaped)
        assert size == same_size
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert data.shapes


def test_buckets_are_shuffled_by_seed_and_epoch():
    def epoch(number, seed=1):
        data = with_shapes([40, 57] * 12, most=2)
        data.seed, data.shuffle = seed, True
        data.set_epoch(number)
        return [batch.tolist() for batch in data.batch_by_size(np.arange(len(data)))]

    assert epoch(1) == epoch(1)
    assert epoch(1) != epoch(2) and epoch(1) != epoch(1, seed=2)


def test_the_shapes_are_named_with_their_padding():
    lengths = np.array([[16, 3, 2], [24, 5, 4], [40, 4, 4], [40, 8, 2]])
    shapes = plan_shapes(lengths, 2, 96, 2, 1)
    assert bucket_of(lengths, shapes).tolist() == [0, 0, 1, 1]
    assert described(shapes, lengths).startswith("batches of 2 shapes, 6.7% of padding: ")
    assert described(shapes, lengths).endswith("2 x 24, 8, 4; 2 x 40, 8, 4")


def test_an_utterance_longer_than_a_batch_is_an_error():
    with pytest.raises(ValueError, match="--max-tokens 30 must be at least the 40 frames of the longest utterance: raise it"):
        plan_shapes(np.array([[16, 3, 2], [40, 8, 2]]), 2, 30, None, 1)
