"""Means of what a training logs, read without a wait for the GPU.

fairseq's trainer reads every meter in every update, and each reading waits until the GPU has caught up. These stay tensors until a line
of the log prints them, once in --log-interval updates; there they are numbers, where fairseq writes strings.
"""

from typing import Any

import torch
from fairseq.logging import meters, metrics


class AverageMeter(meters.AverageMeter):
    """fairseq's, for tensors on a GPU; checkpoints name meters by their class, so that it needs the same name."""

    val: Any
    sum: Any
    count: Any

    def update(self, val: Any, n: Any = 1) -> None:
        self.val = val
        self.sum = self.sum + val * n
        self.count = self.count + n

    @property
    def avg(self) -> torch.Tensor:
        return self.sum / self.count

    @property
    def smoothed_value(self) -> torch.Tensor:
        return torch.round(self.avg.double(), decimals=self.round)


def log_mean(key: str, value: Any, weight: Any, round: int) -> None:
    """As fairseq's metrics.log_scalar, but with no wait for a value on a GPU."""
    if torch.is_tensor(value) and value.device.type != "cpu":
        metrics.log_custom(lambda: AverageMeter(round=round), key, value.detach(), weight, priority=10)
    else:
        metrics.log_scalar(key, value, weight, round=round)
