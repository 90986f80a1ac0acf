"""The norm of the gradient is logged as fairseq logs it."""

from types import SimpleNamespace

import pytest
import torch
from fairseq.logging import meters, metrics
from fairseq.trainer import Trainer


def trainer(clip_norm):
    task = SimpleNamespace(reduce_metrics=lambda outputs, criterion: metrics.log_scalar("loss", 2.0))
    return SimpleNamespace(
        cfg=SimpleNamespace(optimization=SimpleNamespace(clip_norm=clip_norm)), task=task, get_criterion=lambda: None, _warn_once=set(), tpu=False
    )


def logged(log, norms, clip_norm):
    """What the log shows after each update, without speeds but by their order, and what an update returns."""
    metrics.reset()
    lines = []
    with metrics.aggregate("train") as train:
        # as a checkpoint has it, whose training may have had tensors
        train.load_state_dict([(400, "gnorm", "AverageMeter", {"val": torch.tensor(1.0), "sum": torch.tensor(3.5), "count": 3, "round": 3})])
        for norm in norms:
            returned = log(trainer(clip_norm), [{}], 7.0, norm)
            lines += [returned | {"ups": None}, train.get_smoothed_values() | {"ups": None}]
        kinds = [(name, type(meter)) for name, meter in train.items()]
    metrics.reset()
    return lines, kinds


@pytest.mark.parametrize("clip_norm", [0.0, 2.0])
def test_the_log_shows_what_fairseqs_shows(clip_norm):
    norms = [*map(torch.tensor, (1.2345678, 2.0, 1234.5678, float("inf"), float("nan"), 0.0, 3.25)), torch.tensor([2.5]), None]
    lines, kinds = logged(Trainer._reduce_and_log_stats, norms, clip_norm)
    assert (lines, kinds) == logged(Trainer._reduce_and_log_stats.__wrapped__, norms, clip_norm)
    assert ("gnorm", meters.AverageMeter) in kinds and (("clip", meters.AverageMeter) in kinds) == bool(clip_norm)
    assert all(not torch.is_tensor(value) for line in lines for value in line.values())
