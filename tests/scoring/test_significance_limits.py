"""Where intervals and p values end: too few sentences, resamples or trials that say something; several systems; and memory."""

import tracemalloc

import numpy as np
import pytest

from speechllm_plugin.reporting.results import Quantity, Settings, evaluate, intervals
from speechllm_plugin.scoring import significance
from speechllm_plugin.scoring.share import share
from speechllm_plugin.scoring.significance import compare, compare_all, interval


def in_sentences(num_sentences, *rows):
    """(1, N, 2): the rows, then sentences that say nothing."""
    return np.array([[*rows, *[(0, 0)] * (num_sentences - len(rows))]], dtype=np.float64)


def mean_of_shares(sums):
    """Of two groups of sentences, whose statistics stand side by side."""
    return (share(sums[..., :2]) + share(sums[..., 2:])) / 2


def test_a_mean_of_groups_needs_all_of_them_in_most_resamples():
    generator = np.random.default_rng(4)
    for sizes, is_known in (((1, 60), False), ((2, 60), False), ((30, 31), True)):
        counts = np.stack([generator.integers(0, 3, (2, sum(sizes))), np.full((2, sum(sizes)), 5)], axis=-1)
        in_first = (np.arange(sum(sizes)) < sizes[0])[:, None]
        one, other = np.concatenate([counts * in_first, counts * ~in_first], axis=-1)[:, None]
        found, both = interval(mean_of_shares, one), compare(mean_of_shares, one, other)
        assert not np.isnan([found.score, both.difference, both.p_randomisation]).any()
        assert (~np.isnan([found.low, found.high, both.low, both.high, both.p_bootstrap]) == is_known).all()


@pytest.mark.parametrize(("num_telling", "is_known"), [(1, False), (2, True)])
def test_sentences_that_are_zero_throughout_give_no_spread(num_telling, is_known):
    """Of a formula that makes a score of zeros, too; telling is what one seed or the other system has alone."""
    generator = np.random.default_rng(5)
    one, other = np.zeros((2, 50, 1)), np.zeros((2, 50, 1))
    one[1, generator.choice(50, num_telling, replace=False)] = 3
    found, both = interval(last, one), compare(last, one, other)
    assert (found.score, both.difference) == (1.5 * num_telling, 1.5 * num_telling) and both.p_randomisation > 0.4
    for pair in (both, compare(last, other, one)):
        assert (~np.isnan([found.low, found.high, pair.low, pair.high, pair.p_bootstrap]) == is_known).all()
    other[0, np.flatnonzero(~one.any(axis=(0, 2)))[0]] = 1
    assert np.isnan(interval(last, other).low) and not np.isnan([*compare(last, one, other)[1:4]]).any()


def last(sums):
    return sums[..., -1]


def test_a_randomisation_needs_a_difference_in_nine_of_ten_trials():
    for num_sentences in (2, 30):  # all exchanges, and random ones
        # Half of the exchanges put the counts of both on one side.
        apart = in_sentences(num_sentences, (1, 2)), in_sentences(num_sentences, (0, 0), (1, 4))
        found = compare(share, *apart)
        assert found.difference == 25 and np.isnan(found.p_randomisation)
    one = in_sentences(10, *[(1, 2)] * 5)  # and here of 1,024 the 2^5 and 2^5 that put all five on one side
    other = in_sentences(10, *[(0, 0)] * 5, *[(1, 4)] * 5)
    assert 0 < compare(share, one, other).p_randomisation < 1


def test_all_systems_are_resampled_once_and_compared_as_pairs_are():
    generator = np.random.default_rng(3)
    arrays = [np.stack([generator.poisson(rate, (2, 30)), np.full((2, 30), 8)], axis=-1) for rate in (1, 1.2, 1.5)]
    num_scores = []

    def formula(sums):
        num_scores.append(len(sums.reshape(-1, sums.shape[-1])))
        return share(sums)

    of_systems, of_pairs = compare_all(formula, arrays, 600, 500, 7, 0.9)
    # A score of both seeds: of each system, of each of its resamples, and of both systems of a pair in each trial.
    assert sum(num_scores) == 2 * (3 + 3 * 600 + 2 * 2 * 500)
    assert of_systems == [interval(share, each, 600, 7, 0.9) for each in arrays]
    assert of_pairs == [compare(share, arrays[0], each, 600, 500, 7, 0.9) for each in arrays[1:]]


def test_one_set_of_resamples_is_in_memory_and_none_after_results(monkeypatch):
    monkeypatch.setattr(significance, "BLOCK", 16)  # so that what else a resampling needs is little
    num_resamples, sizes = 1500, (3000, 3001)  # 4.5 MB each
    generator = np.random.default_rng(0)
    systems = [np.stack([generator.integers(0, 2, 3001), np.ones(3001)], axis=-1)[None] for _ in range(2)]
    quantities = [Quantity("rate", True, share, [each[:, :size] for each in systems]) for size in sizes]
    settings = Settings(num_resamples)
    significance.free_resamples()
    evaluate(quantities, Settings(10))  # imports what it needs
    tracemalloc.start()
    try:
        for compute in (lambda each: interval(share, each.statistics[0], num_resamples), lambda each: evaluate([each], settings)):
            tracemalloc.reset_peak()
            for quantity in quantities:
                compute(quantity)
            assert num_resamples * 3000 < tracemalloc.get_traced_memory()[1] < 1.6 * num_resamples * 3000
        assert tracemalloc.get_traced_memory()[0] < 0.1 * num_resamples * 3000
        intervals(quantities[0], settings)
        assert tracemalloc.get_traced_memory()[0] < 0.1 * num_resamples * 3000
        interval(share, systems[0], num_resamples)  # and alone they are kept for the next metric
        assert tracemalloc.get_traced_memory()[0] > num_resamples * 3000
    finally:
        tracemalloc.stop()
        significance.free_resamples()


def test_results_of_one_system_and_of_no_quantity_have_no_p_values():
    alone = Quantity("rate", True, share, [np.ones((1, 5, 2))])
    assert [result.adjusted for result in evaluate([alone, alone], Settings(50))] == [[], []] and evaluate([], Settings(50)) == []
