"""linear_to_zero: a learning rate that is zero when the training ends, by updates or by the clock, also one that goes on from a checkpoint."""

import time
from types import SimpleNamespace

import pytest
import torch
from fairseq.optim import FairseqOptimizer

from speechllm_plugin.optim import linear_to_zero
from speechllm_plugin.optim.linear_to_zero import LinearToZero

HOUR = 3600


def scheduler(**settings):
    class Optimizer(FairseqOptimizer):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)

    values = {"warmup_updates": 0, "lr": [0.1], "max_update": 0, "stop_time_hours": 0, "distributed_world_size": 1, **settings}
    return LinearToZero(SimpleNamespace(**values), Optimizer(None))


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(linear_to_zero, "time", SimpleNamespace(time=lambda: clock.seconds))
    return clock


def test_the_rate_rises_through_the_warm_up_and_is_zero_at_the_last_update():
    schedule = scheduler(max_update=100, warmup_updates=10)
    assert schedule.optimizer.get_lr() == pytest.approx(0.01)
    rates = [schedule.step_update(number) for number in range(101)]
    assert rates[4] == pytest.approx(0.1 * 0.5 * 0.96) and rates[50] == pytest.approx(0.05) and rates[100] == 0
    assert max(rates) == rates[9] and rates[9:] == sorted(rates[9:], reverse=True)


def test_by_the_clock_it_is_zero_when_the_time_is_over_whatever_was_done(clock):
    schedule = scheduler(max_update=1000, stop_time_hours=0.5)
    assert schedule.step_update(1) == pytest.approx(0.0999)
    clock.seconds += 0.25 * HOUR
    assert schedule.step_update(1) == schedule.step_update(400) == pytest.approx(0.05)
    assert schedule.step_update(900) == pytest.approx(0.01)  # updates end first
    clock.seconds += 0.5 * HOUR
    assert schedule.step_update(2) == 0


def test_a_training_that_goes_on_counts_the_hours_before(clock):
    schedule = scheduler(stop_time_hours=1)
    clock.seconds += 0.5 * HOUR
    state = schedule.state_dict()
    clock.seconds += 10 * HOUR  # nobody trained
    again = scheduler(stop_time_hours=1)
    again.load_state_dict(state)
    clock.seconds += 0.25 * HOUR
    assert again.step_update(1) == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs the end of the training"),
        ({"max_update": 10, "lr": [0.1, 0.2]}, "takes one --lr, but has 0.1,0.2"),
        ({"stop_time_hours": 1, "distributed_world_size": 2}, "needs one process, but there are 2"),
    ],
)
def test_what_it_cannot_do_is_said(settings, message):
    with pytest.raises(ValueError, match=message):
        scheduler(**settings)


def test_the_clock_is_the_machines():
    schedule = scheduler(stop_time_hours=1)
    assert schedule.hours == pytest.approx((time.time() - schedule.start) / HOUR, abs=0.01)
