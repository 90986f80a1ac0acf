"""Holm's correction of p values against its definition, and over which p values it goes."""

import random
from fractions import Fraction

import numpy as np
import pytest

from speechllm_plugin.reporting.results import Quantity, Settings, evaluate
from speechllm_plugin.scoring.holm import holm
from speechllm_plugin.scoring.share import share


def test_holm_is_over_all_pairs_of_systems_and_all_quantities():
    errors = np.random.default_rng(8).poisson(np.linspace(1, 1.6, 4)[:, None, None], (4, 40, 2))
    statistics = [[np.stack([each[:, column], np.full(40, 8)], axis=-1)[None] for each in errors] for column in (0, 1)]
    results = evaluate([Quantity("rate", True, share, each) for each in statistics], Settings(400))
    p_values = [[comparison.p_randomisation for comparison in result.comparisons] for result in results]
    assert [result.adjusted for result in results] == holm(p_values).tolist() and np.shape(p_values) == (2, 3)


def test_holm_equals_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    adjusted = holm([np.nan, 0.01, 0.6, np.nan, 0.6])
    assert np.isnan(adjusted[[0, 3]]).all() and adjusted[[1, 2, 4]] == pytest.approx([0.03, 1, 1])
    assert holm([]).shape == (0,) and np.isnan(holm([np.nan])).all()


def test_holm_is_the_smallest_level_at_which_the_procedure_rejects():
    def rejected(p_values, level):
        """Step down from the smallest p until one is too large."""
        found = set()
        for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            if p_values[index] > level / (len(p_values) - step):
                break
            found.add(index)
        return found

    generator = random.Random(6)
    for number in (1, 2, 5, 9):
        p_values = [Fraction(generator.randint(1, 40), 400) for _ in range(number)]
        levels = sorted({p * factor for p in p_values for factor in range(1, number + 1)})
        expected = [min(level for level in levels if index in rejected(p_values, level)) for index in range(number)]
        assert holm([float(p) for p in p_values]) == pytest.approx([min(1, float(level)) for level in expected])
