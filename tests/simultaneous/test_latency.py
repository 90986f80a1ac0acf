"""AL and LAAL against cases by hand, their formulas as slow loops, and numbers that SimulEval 1.1.4 printed."""

import math

import numpy as np
import pytest

from speechllm_plugin.simultaneous.latency import average_lagging, length_adaptive_average_lagging


def slow_al(delays, source_ms, target_length):
    """The formulas of Ma et al. 2019, sum for sum; tau is the first unit that was written with all of the speech, counted from 1."""
    if delays[0] > source_ms:
        return delays[0]
    tau = 1
    while tau < len(delays) and delays[tau - 1] < source_ms:
        tau += 1
    rate = target_length / source_ms
    return sum(delays[i - 1] - (i - 1) / rate for i in range(1, tau + 1)) / tau


@pytest.mark.parametrize(
    "delays, source_ms, num_units, al, laal",
    [
        ([1000, 2000, 3000], 3000, 3, 1000, 1000),  # a word behind all the time
        ([3000, 3000, 3000], 3000, 3, 3000, 3000),  # offline: all of the speech before the first word
        ([0, 1000, 2000], 3000, 3, 0, 0),  # as fast as the speech
        ([1000, 2000, 3000, 3000], 3000, 3, 1000, (1000 + 1250 + 1500) / 3),  # a word too many is not a gain of LAAL
        ([500, 500, 500, 500, 500, 500], 2000, 2, -2000, (500 - 2000 / 6 * 2.5)),  # AL rewards what nobody said
        ([1500], 2000, 4, 1500, 1500),
        ([2500, 2600], 2000, 2, 2500, 2500),  # computing took longer than the speech
        ([250], 2000, 1, 250, 250),
    ],
)
def test_cases_by_hand(delays, source_ms, num_units, al, laal):
    assert average_lagging(delays, source_ms, num_units) == pytest.approx(al)
    assert length_adaptive_average_lagging(delays, source_ms, num_units) == pytest.approx(laal)


def test_formulas_are_those_of_the_papers():
    rng = np.random.default_rng(0)
    for _ in range(300):
        source_ms, num_units = float(rng.uniform(200, 5000)), int(rng.integers(1, 12))
        delays = np.sort(rng.uniform(0, 1.3 * source_ms, rng.integers(1, 12))).tolist()
        assert math.isclose(average_lagging(delays, source_ms, num_units), slow_al(delays, source_ms, num_units), abs_tol=1e-9)
        longest = max(num_units, len(delays))
        assert math.isclose(length_adaptive_average_lagging(delays, source_ms, num_units), slow_al(delays, source_ms, longest), abs_tol=1e-9)


# delays, length of the speech, words of the reference; the numbers that `simuleval --score-only --latency-metrics AL LAAL` prints for each
OF_SIMULEVAL = [
    ([500.0, 1250.0, 1500.0, 1500.0, 1500.0], 1500.0, 1, -416.667, 783.333),
    ([250.0, 500.0, 1000.0, 2000.0, 2583.25, 2583.25], 2583.25, 4, -24.975, 405.567),
    ([250.0, 2583.25, 2583.25, 2583.25], 2583.25, 5, 1158.3, 1158.3),
    ([1000.0, 2500.0, 2583.25], 2583.25, 6, 1597.208, 1597.208),
    ([250.0, 250.0, 1500.0], 1500.0, 1, -833.333, 166.667),
    ([2750.0], 3000.0, 4, 2750.0, 2750.0),
    ([3100.0, 3200.0], 3000.0, 2, 3100.0, 3100.0),
]


@pytest.mark.parametrize("delays, source_ms, num_units, al, laal", OF_SIMULEVAL)
def test_numbers_are_those_of_simuleval(delays, source_ms, num_units, al, laal):
    assert average_lagging(delays, source_ms, num_units) == pytest.approx(al, abs=5e-4)
    assert length_adaptive_average_lagging(delays, source_ms, num_units) == pytest.approx(laal, abs=5e-4)
