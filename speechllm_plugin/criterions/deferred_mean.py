"""Means of what a training logs, read without a wait for the GPU.

fairseq's trainer reads every meter in every update, and each reading waits until the GPU has caught up. These stay tensors until a line
of the log prints them, once in --log-interval updates; there they are numbers, where fairseq writes strings.
"""

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from fairseq.logging import meters, metrics


class AverageMeter(meters.AverageMeter):
    """fairseq's, for tensors on a GPU; checkpoints name meters by their class, so that it needs the same name."""

    val: Any
    sum: Any
    count: Any

    def update(self, val: Any, n: Any = 1) -> None:
        self.add(val, val * n, n)

    def add(self, val: Any, product: Any, n: Any) -> None:
        """A value, and it times its weight n."""
        is_first, self.val = self.val is None, val
        self.sum = product if is_first else self.sum + product
        self.count = self.count + n

    @property
    def avg(self) -> torch.Tensor:
        return self.sum / self.count

    @property
    def smoothed_value(self) -> torch.Tensor:
        return torch.round(self.avg.double(), decimals=self.round)


def totals(logging_outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of each key the sum; what one output has alone stays as it is, as Python's sum would add it to a zero on the GPU."""
    return {key: functools.reduce(operator.add, (output[key] for output in logging_outputs)) for key in logging_outputs[0]}


def log_mean(key: str, value: Any, weight: Any, round: int) -> None:
    """As fairseq's metrics.log_scalar, but with no wait for a value on a GPU."""
    if torch.is_tensor(value) and value.device.type != "cpu":
        log_deferred(key, value.detach(), weight, round)
    else:
        metrics.log_scalar(key, value, weight, round=round)


def log_deferred(key: str, value: torch.Tensor, weight: Any, round: int) -> None:
    """As metrics.log_custom of an AverageMeter, with one product for the meters of all levels: each operation is launched alone."""
    product = value * weight
    for aggregator in metrics.get_active_aggregators():
        if key not in aggregator:
            aggregator.add_meter(key, AverageMeter(round=round), priority=10)
        meter = aggregator[key]
        if isinstance(meter, AverageMeter):
            meter.add(value, product, weight)
        else:
            meter.update(value, weight)  # fairseq's, of a checkpoint
