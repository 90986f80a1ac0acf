"""The mean over groups is that of their scores, to the last bit, whichever way it is computed."""

import numpy as np
import pytest

from speechllm_plugin.scoring.group_mean import formula_of_groups, mean_of_groups, statistics_of_groups
from speechllm_plugin.scoring.metrics import METRICS


@pytest.mark.parametrize("name", ["bleu", "wer"])
def test_one_formula_over_all_sentences_is_the_mean_of_the_groups_scores(name):
    generator = np.random.default_rng(3)
    words = np.array("a b c d e f".split())
    texts = [" ".join(generator.choice(words, size=generator.integers(5, 12))) for _ in range(80)]
    statistics = METRICS[name].statistics(texts[:40], texts[40:], [""] * 40)
    number = generator.permutation(np.arange(40) % 11)
    groups = [number == group for group in range(11)]
    formula = METRICS[name].formula
    expected = mean_of_groups([float(formula(statistics[rows].sum(0))) for rows in groups])
    sums = statistics_of_groups(statistics[None], groups).sum(axis=1)
    assert formula_of_groups(formula, 11)(sums).tolist() == [expected]
    assert expected == pytest.approx(np.mean([METRICS[name].score(*_of(texts, rows)) for rows in groups]))


def _of(texts, rows):
    chosen = np.flatnonzero(rows)
    return [texts[row] for row in chosen], [texts[40 + row] for row in chosen], [""] * len(chosen)


def test_every_group_counts_the_same():
    assert mean_of_groups([1.0, 2.0, 6.0]) == 3.0
    assert mean_of_groups([np.array([1.0, 4.0]), np.array([3.0, 0.0])]).tolist() == [2.0, 2.0]
