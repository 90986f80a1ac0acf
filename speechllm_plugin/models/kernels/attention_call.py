"""How the kernels of fused attention are called: tiles, warps, sizes, strides and switches."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Launch(NamedTuple):
    """Rows of a tile of queries and of keys, warps that compute it, stages in which its rows are fetched, and registers of a thread at most."""

    block_q: int
    block_k: int
    num_warps: int
    num_stages: int
    max_registers: int | None = None


# (kernel, with relative positions): measured on an H200 at 64 channels a head in 16 bits; float32 takes WIDE_LAUNCH.
LAUNCHES = {
    ("forward", False): Launch(64, 32, 4, 3),
    ("forward", True): Launch(64, 64, 4, 3),
    ("query_gradient", False): Launch(64, 64, 4, 2, max_registers=168),
    ("query_gradient", True): Launch(32, 32, 2, 3),
    ("key_gradient", False): Launch(32, 64, 4, 3),
    ("key_gradient", True): Launch(32, 64, 4, 3),
    ("position_gradient", True): Launch(32, 64, 4, 2),
}
WIDE_LAUNCH = Launch(32, 32, 4, 1)
POSITION_PROGRAMS = 132 * 32  # of the kernel that sums over sentences: enough to fill a large GPU
STORED_ALIGNMENT = 64  # of speech and text in what backward kernels store: no tile is larger
STORED_BYTES = 2**30  # by the backward kernels at a time, or one sentence; of more, some come after the others


class Call:
    """Sizes and switches of one call, in the order in which the kernels take them."""

    def __init__(
        self, query: Tensor, key: Tensor, position: Tensor | None, num_speech: int, first_query: int, second_text: int, causal: bool,
        dropout: float, scale: float,
    ):  # fmt: skip
        self.num_sentences, self.num_queries, self.num_heads, self.dim = query.shape
        self.num_keys, self.num_speech, self.first_query, self.second_text = key.size(1), num_speech, first_query, second_text
        self.has_position, self.causal, self.dropout, self.dtype = position is not None, causal, dropout, query.dtype
        self.lags = (0 if position is None else position.size(1)), self.num_keys - 1
        self.factors = scale, int(dropout * 2**32), 1 / (1 - dropout)

    @property
    def sizes(self) -> tuple[float, ...]:
        counts = self.num_heads, self.num_queries, self.num_keys, self.num_speech, self.first_query, self.second_text
        return *counts, *self.lags, *self.factors

    @property
    def stored(self) -> tuple[int, int, int]:
        """(H, rows, columns) of the weights, and of the gradients of the scores, that backward kernels store for a sentence."""
        num_text = self.first_query + self.num_queries - self.num_speech
        rows = rounded_up(self.num_speech - self.first_query, STORED_ALIGNMENT) + rounded_up(num_text, STORED_ALIGNMENT)
        return self.num_heads, rows, rounded_up(self.num_speech, STORED_ALIGNMENT) + rounded_up(self.num_keys - self.num_speech, STORED_ALIGNMENT)

    def launch(self, kernel: str) -> Launch:
        return WIDE_LAUNCH if self.dtype == torch.float32 else LAUNCHES[kernel, self.has_position]

    def switches(self, launch: Launch, lengths: Tensor | None) -> dict[str, Any]:
        total = self.first_query + self.num_queries
        return {
            "POSITION": self.has_position,
            "DROPOUT": self.dropout > 0,
            "TEXT": self.num_keys > self.num_speech,
            "SECOND": self.second_text < total and self.num_keys > self.num_speech,
            **self.shared_switches(launch, lengths),
        }

    def shared_switches(self, launch: Launch, lengths: Tensor | None) -> dict[str, Any]:
        return {
            "BLOCK_Q": launch.block_q,
            "BLOCK_K": launch.block_k,
            "D": self.dim,
            "LENGTHS": lengths is not None,
            "CAUSAL": self.causal,
            "PRECISION": "ieee" if self.dtype == torch.float32 else "tf32",
            "num_warps": launch.num_warps,
            "num_stages": launch.num_stages,
            "maxnreg": launch.max_registers,
        }

    def query_programs(self, launch: Launch) -> int:
        total = self.first_query + self.num_queries
        return self.programs(self.num_speech - self.first_query, total - self.num_speech, launch.block_q)

    def key_programs(self, launch: Launch) -> int:
        return self.programs(self.num_speech, self.num_keys - self.num_speech, launch.block_k)

    def programs(self, num_speech: int, num_text: int, block: int) -> int:
        return self.num_sentences * self.num_heads * (rounded_up(num_speech, block) + rounded_up(num_text, block)) // block


def rounded_up(number: int, block: int) -> int:
    return -(-number // block) * block


def strides(*tensors: Tensor) -> list[int]:
    """Of sentence, row and head of every (B, rows, H, D)."""
    return [tensor.stride(axis) for tensor in tensors for axis in (0, 1, 2)]


def position_strides(position: Tensor | None) -> tuple[int, int]:
    return (0, 0) if position is None else (position.stride(0), position.stride(1))
