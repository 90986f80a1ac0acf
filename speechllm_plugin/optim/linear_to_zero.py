"""`--lr-scheduler linear_to_zero`: warm-up, then a learning rate that reaches zero when the training ends, by updates or by the clock.

fairseq's schedules count updates. A training that ends after its minutes (--stop-time-hours) does not know how many it will make, so that
theirs would end too early, or nowhere near their end.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from fairseq.dataclass import FairseqDataclass
from fairseq.optim.lr_scheduler import FairseqLRScheduler, register_lr_scheduler
from omegaconf import II

SECONDS_OF_AN_HOUR = 3600


@dataclass
class LinearToZeroConfig(FairseqDataclass):
    warmup_updates: int = field(default=0, metadata={"help": "updates in which the learning rate rises from zero to --lr"})
    lr: Any = II("optimization.lr")
    max_update: int = II("optimization.max_update")
    stop_time_hours: float = II("optimization.stop_time_hours")
    distributed_world_size: int = II("distributed_training.distributed_world_size")


@register_lr_scheduler("linear_to_zero", dataclass=LinearToZeroConfig)
class LinearToZero(FairseqLRScheduler):
    """The share of the training that is left, times --lr, times the share of the warm-up that is done.

    What is left is that of --max-update or that of --stop-time-hours, whichever ends first. Hours are those of the clock from here on, and
    those before the checkpoint that the training goes on from. The line falls from the first update on, so that the warm-up ends below --lr.

    Source: Bergsma et al. 2025, Straight to Zero: Why Linearly Decaying the Learning Rate to Zero Works Best for LLMs (arXiv:2502.15938).

    Raises:
        ValueError: the training has no end; several learning rates; or an end by the clock for several processes, whose clocks differ.
    """

    def __init__(self, cfg, optimizer):
        super().__init__(cfg, optimizer)
        if len(cfg.lr) > 1:
            raise ValueError(f"--lr-scheduler linear_to_zero takes one --lr, but has {','.join(map(str, cfg.lr))}")
        if cfg.max_update <= 0 and cfg.stop_time_hours <= 0:
            raise ValueError("--lr-scheduler linear_to_zero needs the end of the training: give --max-update, --stop-time-hours or both")
        if cfg.stop_time_hours > 0 and cfg.distributed_world_size > 1:
            raise ValueError(
                f"--lr-scheduler linear_to_zero with --stop-time-hours needs one process, but there are {cfg.distributed_world_size}, whose clocks "
                "would give them other learning rates: give --max-update alone"
            )
        self.hours_before, self.start = 0.0, time.time()
        self.step_update(0)

    @property
    def hours(self) -> float:
        """Of training, as fairseq's --stop-time-hours counts them."""
        return self.hours_before + (time.time() - self.start) / SECONDS_OF_AN_HOUR

    def step_update(self, num_updates: int) -> float:
        """The learning rate of the update that comes after `num_updates`."""
        cfg = self.cfg
        done = max(num_updates / cfg.max_update if cfg.max_update > 0 else 0, self.hours / cfg.stop_time_hours if cfg.stop_time_hours > 0 else 0)
        warmth = min(1, (num_updates + 1) / max(cfg.warmup_updates, 1))
        self.optimizer.set_lr(cfg.lr[0] * warmth * max(1 - done, 0))
        return self.optimizer.get_lr()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "hours": self.hours}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.hours_before, self.start = state_dict.get("hours", 0.0), time.time()
