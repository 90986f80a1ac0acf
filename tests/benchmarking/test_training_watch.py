"""What is measured of a training's updates, as its trainer makes them."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from speechllm_plugin.benchmarking import training_measurement, training_watch
from speechllm_plugin.benchmarking.training_measurement import TrainingMeasurement
from speechllm_plugin.benchmarking.training_watch import TrainingWatch


def batch(*lengths):
    features = torch.zeros(len(lengths), max(lengths), 80)
    texts = {"target": torch.zeros(len(lengths), 4), "target_lengths": torch.full((len(lengths),), 4)}
    return {"net_input": {"src_tokens": features, "src_lengths": torch.tensor(lengths)}, **texts}


def test_a_rank_that_has_no_batch_in_an_update_is_measured():
    measured = TrainingMeasurement("row", "plugin", 1)
    clock = itertools.count().__next__  # a second passes between two looks
    settings = {"frames": 8, "warm_up": 1, "updates": 2, "model": None, "rate": 1.0}
    watch = TrainingWatch(measured, torch.device("cpu"), **settings, progress=lambda: None, clock=clock)
    trainer = SimpleNamespace(get_model=lambda: torch.nn.Linear(1, 1), data_parallel_world_size=2, task=None)
    for sample in (batch(9), batch(5, 3), {}):
        assert watch(trainer, [sample], lambda: "made") == "made"
    assert (measured.frames, measured.sentences, measured.median_milliseconds) == (4, 1, pytest.approx(2000))
    assert measured.frames_per_second == 2


def test_updates_that_capture_graphs_are_told_from_those_that_replay_them():
    """Of two updates before and six that are measured: captures and new shapes of each, and its seconds for 8 frames."""
    made = [(0, 2, 5), (1, 0, 9), (0, 0, 1), (1, 0, 7), (0, 1, 3), (0, 0, 1.5), (2, 1, 9), (0, 0, 2)]
    measured, now = TrainingMeasurement("row", "plugin", 1), [0.0]
    captured = SimpleNamespace(num_graphs=4, num_captures=0, num_launches=0)
    task = SimpleNamespace(trained=SimpleNamespace(captured=captured))
    trainer = SimpleNamespace(get_model=lambda: torch.nn.Linear(1, 1), data_parallel_world_size=2, task=task)
    settings = {"frames": 16, "warm_up": 2, "updates": 6, "model": None, "rate": 1.0}
    watch = TrainingWatch(measured, torch.device("cpu"), **settings, progress=lambda: None, clock=lambda: now[0])
    for captures, launches, seconds in made:

        def update(captures=captures, launches=launches, seconds=seconds):
            captured.num_captures, captured.num_launches = captured.num_captures + captures, captured.num_launches + launches
            now[0] += seconds

        watch(trainer, [batch(5, 3)], update)
    assert (measured.captured_graphs, measured.capturing_updates, measured.launching_updates) == (4, 2, 1)
    assert measured.replaying_milliseconds == pytest.approx(2 * 1500)
    assert measured.milliseconds == pytest.approx(2000 * 23.5 / 6)
    cells = training_measurement.line(replace(measured, model_milliseconds=1.0, trainer_share=0.0, optimizer_milliseconds=0.0), 3).split()
    assert cells[4:7] == ["2", "1", "3,000.0"]


def test_what_only_captures_has_no_time_of_its_own():
    measured = TrainingMeasurement("row", "plugin", 1)
    watch = TrainingWatch(
        measured, torch.device("cpu"), frames=8, warm_up=1, updates=2, model=None, rate=1.0, progress=lambda: None, clock=itertools.count().__next__
    )
    watch.graph_counts = [(0, 1), (1, 1), (1, 2)]
    watch.enter_graphs([1.0, 1.0], [8, 8])
    assert (measured.capturing_updates, measured.launching_updates, measured.replaying_milliseconds) == (1, 1, None)


def test_on_a_gpu_single_updates_are_timed_by_it(monkeypatch):
    """The host is through with an update at once; the GPU needs 3 s, 1 s and 2 s. Only what the host has waited for can be read."""
    computed, waited, measured = itertools.accumulate([0, 3, 1, 2]), [], TrainingMeasurement("row", "plugin", 1)

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.seconds = next(computed)

        def elapsed_time(self, later):
            assert len(waited) == 2
            return 1000 * (later.seconds - self.seconds)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(training_watch, "wait_for", waited.append)
    settings = {"frames": 8, "warm_up": 1, "updates": 3, "model": None, "rate": 1.0}
    watch = TrainingWatch(measured, torch.device("cuda"), **settings, progress=lambda: None, clock=itertools.count().__next__)
    watch.note_peak(1)
    trainer = SimpleNamespace(get_model=lambda: torch.nn.Linear(1, 1), data_parallel_world_size=2, task=None)
    for _ in range(4):
        watch(trainer, [batch(5, 3)], lambda: None)
    assert measured.median_milliseconds == pytest.approx(2000)
