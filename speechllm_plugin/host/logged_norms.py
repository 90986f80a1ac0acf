"""The norm of the gradient in the log of a training: a number.

Where it is known to the host, fairseq goes on with it as a tensor, and makes some 30 operations in each update to add it up, and to say whether
it was clipped.
"""

import functools
import math
from typing import Any

import torch


def log_as_numbers() -> None:
    """Let fairseq's trainer log a norm on the CPU as a number; one on a GPU stays a tensor, for which nobody waits."""
    from fairseq.trainer import Trainer

    of_fairseq = Trainer._reduce_and_log_stats

    @functools.wraps(of_fairseq)
    def reduce_and_log_stats(self: Trainer, logging_outputs: Any, sample_size: Any, grad_norm: Any = None) -> Any:
        if torch.is_tensor(grad_norm) and grad_norm.device.type == "cpu":
            log_norm(float(grad_norm), self.cfg.optimization.clip_norm)
            grad_norm = None
        return of_fairseq(self, logging_outputs, sample_size, grad_norm)

    Trainer._reduce_and_log_stats = reduce_and_log_stats


def log_norm(norm: float, clip_norm: float) -> None:
    """What fairseq logs of an update with a norm: `ups`, `gnorm`, and in percent `clip`."""
    from fairseq.logging import metrics

    if math.isfinite(norm):
        metrics.log_speed("ups", 1.0, priority=100, round=2)
        metrics.log_scalar("gnorm", norm, priority=400, round=3)
        if clip_norm > 0:
            metrics.log_scalar("clip", 100.0 * (norm > clip_norm), priority=500, round=1)
