"""Means of a training's log that wait for no GPU: the values of fairseq's meters, and a state that fairseq's meters go on with."""

import pytest
import torch
from fairseq.logging import meters, metrics

from speechllm_plugin.criterions.deferred_mean import AverageMeter, log_deferred


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


def test_all_levels_of_the_log_have_the_mean():
    """Those that are new, that were reset, and that go on with a checkpoint's; of a weight on the device as well."""
    metrics.reset()
    logged = [(torch.tensor(1.25), 3), (torch.tensor(-7.5), torch.tensor(40)), (torch.tensor(0.1), 2)]

    def log(log_value):
        with metrics.aggregate("outer") as outer:
            outer.load_state_dict([(10, "loss", "AverageMeter", {"val": 1.0, "sum": 4.0, "count": 4, "round": 3})])
            for value, weight in logged:
                with metrics.aggregate() as inner:
                    log_value("loss", value, weight)
                    yield inner["loss"].state_dict() | {"read": float(inner.get_smoothed_value("loss"))}
            metrics.reset_meters("default")
            log_value("loss", *logged[0])
            yield from (metrics.get_meter(name, "loss").state_dict() for name in ("default", "outer"))
        metrics.reset()

    ours = list(log(lambda key, value, weight: log_deferred(key, value, weight, round=3)))
    plain = list(log(lambda key, value, weight: metrics.log_custom(lambda: AverageMeter(round=3), key, value, weight, priority=10)))
    fairseqs = list(log(lambda key, value, weight: metrics.log_scalar(key, value, weight, round=3)))
    assert ours == plain and [state["sum"] for state in ours] == [state["sum"] for state in fairseqs]
    assert [state["count"] for state in ours] == [state["count"] for state in fairseqs]
