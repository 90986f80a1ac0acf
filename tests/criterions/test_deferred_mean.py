"""Means of a training's log that wait for no GPU: the values of fairseq's meters, and a state that fairseq's meters go on with."""

import pytest
import torch
from fairseq.logging import meters

from speechllm_plugin.criterions.deferred_mean import AverageMeter


def test_the_mean_is_fairseqs_and_its_meter_goes_on_with_it():
    own, fairseqs = AverageMeter(round=3), meters.AverageMeter(round=3)
    for value, weight in ((1.23456, 3), (7.5, 40), (-2.0, torch.tensor(11))):
        own.update(torch.tensor(value), weight)
        fairseqs.update(torch.tensor(value), weight)
        assert torch.is_tensor(own.smoothed_value)  # nobody asked the device for it yet
        assert own.smoothed_value.tolist() == pytest.approx(fairseqs.smoothed_value, abs=1e-9)
    assert type(own).__name__ == "AverageMeter"  # by which a checkpoint finds the class
    resumed = meters.AverageMeter()
    resumed.load_state_dict(own.state_dict())
    assert resumed.smoothed_value == pytest.approx(fairseqs.smoothed_value)
