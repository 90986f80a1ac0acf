"""Compression by a fixed stride: as many consecutive states become one, whatever their labels."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from speechllm_plugin.models.compressions.strategy import Strategy, equal_shares, equal_weights


@dataclass
class StrideFlags:
    """The flags that only this strategy reads."""

    ctc_compression_stride: int = field(default=4, metadata={"help": "states merged into one by --ctc-compression fixed"})


def check(cfg: Any) -> None:
    if cfg.ctc_compression_stride < 1:
        raise ValueError(f"--ctc-compression-stride must be at least 1, but is {cfg.ctc_compression_stride}")


def segments(logits: Tensor, padding: Tensor, cfg: Any) -> tuple[Tensor, Tensor]:
    position = torch.arange(logits.size(1), device=logits.device)
    return (position // cfg.ctc_compression_stride).expand(logits.shape[:2]), equal_weights(logits)


def slow_segments(labels: list[int], blank: int, cfg: Any) -> list[list[int]]:
    states, stride = list(range(len(labels))), cfg.ctc_compression_stride
    return [states[start : start + stride] for start in states[::stride]]


FIXED = Strategy(
    help="mean of every --ctc-compression-stride states",
    segments=segments,
    slow_segments=slow_segments,
    slow_weights=equal_shares,
    assumed_rate=lambda cfg: float(cfg.ctc_compression_stride),
    depends_on_data=False,
    flags=StrideFlags,
    check=check,
)
