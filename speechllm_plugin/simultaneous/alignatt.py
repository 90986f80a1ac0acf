"""AlignAtt: a token may be written unless it attends most to the speech that arrived last, which more speech may change.

Source: Papi, Turchi and Negri 2023, AlignAtt: Using Attention-based Audio-Translation Alignments as a Guide for Simultaneous Speech
Translation (arXiv:2305.11408).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def num_accepted(attended: Sequence[int], num_written: int, num_states: int, threshold: int) -> int:
    """The tokens of a hypothesis before the first new one that attends most to one of the last `threshold` states.

    Args:
        attended: per token of the hypothesis the number of the speech state, from 0.
        num_written: tokens at its start that stand already.
        num_states: that have arrived.
    """
    late = (number for number in range(num_written, len(attended)) if attended[number] >= num_states - threshold)
    return next(late, len(attended))


def most_attended(weights: Tensor, segments: Any) -> Tensor:
    """(U,) per token the number of the speech state before compression that it attends to most, the first of equals.

    A state that compression made of several stands for the last of them: as long as it may grow, it lies at the end of what has arrived.

    Args:
        weights: (U, N) over the states that the decoder reads.
        segments: Segments of one utterance, (1, S) each, or None without compression.
    """
    number = weights.argmax(-1)
    if segments is not None:
        kept = segments.share[0] > 0
        states = torch.arange(len(kept), device=weights.device)[kept]
        last = torch.zeros(weights.size(1), dtype=torch.long, device=weights.device)
        number = last.scatter_reduce(0, segments.number[0][kept], states, "amax")[number]
    return number
