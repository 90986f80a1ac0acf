"""What is measured of a training's updates, as its trainer makes them."""

import itertools
from types import SimpleNamespace

import pytest
import torch

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
    trainer = SimpleNamespace(get_model=lambda: torch.nn.Linear(1, 1), data_parallel_world_size=2)
    for sample in (batch(9), batch(5, 3), {}):
        assert watch(trainer, [sample], lambda: "made") == "made"
    assert (measured.frames, measured.sentences, measured.median_milliseconds) == (4, 1, pytest.approx(2000))
    assert measured.frames_per_second == 2
