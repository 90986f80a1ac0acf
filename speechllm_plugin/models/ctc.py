"""CTC output: logits of transcript labels, one distribution per speech state, and their best labels."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import linear, pad


class CTCOutput(NamedTuple):
    """The output of a CTC head for a batch.

    logits:             (B, S, V + 1) over the transcript vocabulary and the blank, which is last.
    lengths:            (B,) number of states.
    compressed_lengths: (B,) number of states after compression, if there is any.
    """

    logits: Tensor
    lengths: Tensor
    compressed_lengths: Tensor | None = None


class CTCHead(nn.Linear):
    """States (B, S, C) -> logits of the transcript's labels and the blank, (B, S, V + 1).

    A vocabulary and a blank are hardly ever a multiple of 8, for which alone GPUs have fast products of 16 bits: the labels that are
    missing to one are computed and thrown away.
    """

    def forward(self, x: Tensor) -> Tensor:
        missing = -self.out_features % 8
        if x.device.type != "cuda" or x.dtype == torch.float32 or not missing:
            return super().forward(x)
        return first_types(linear(x, pad(self.weight, (0, 0, 0, missing)), pad(self.bias, (0, missing))), self.out_features)


class _FirstTypes(Function):
    """Logits without the types at the end. Where a loss writes their gradient over them, that memory, filled up with zeros, is that of all types."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, number: int) -> Tensor:
        ctx.all_types = logits
        size = *logits.shape[:-1], number
        return logits.new_empty(0).set_(logits.untyped_storage(), logits.storage_offset(), size, logits.stride())  # no view: others may write on it

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, number = ctx.all_types.detach(), gradient.size(-1)
        if gradient.data_ptr() != logits.data_ptr() or gradient.stride() != logits.stride():
            return pad(gradient, (0, logits.size(-1) - number)), None
        logits[..., number:] = 0
        return logits, None


def first_types(logits: Tensor, number: int) -> Tensor:
    """(..., number) of logits (..., V), in their memory."""
    return logits if logits.size(-1) == number else _FirstTypes.apply(logits, number)


def all_types(logits: Tensor) -> Tensor:
    """What `first_types` got, of what it gave; any other logits as they are."""
    return getattr(logits.grad_fn, "all_types", logits)


def starts_of_runs(labels: Tensor) -> Tensor:
    """The (B, S) mask that is True at the first of equal labels in a row."""
    return pad(labels[:, 1:] != labels[:, :-1], (1, 0), value=True)


def states_needed(transcript: Tensor, padding: int) -> Tensor:
    """The (B,) fewest states in which CTC can emit transcripts (B, W): one for each label, and a blank between two equal ones."""
    real = transcript != padding
    return (real & pad(transcript[:, 1:] == transcript[:, :-1], (1, 0))).sum(1) + real.sum(1)


def greedy_labels(logits: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """The (B, S) best labels after merging repeats; -1 where a state adds none."""
    labels = logits.argmax(-1)
    beyond = torch.arange(labels.size(1), device=labels.device) >= lengths[:, None]
    return labels.masked_fill(~starts_of_runs(labels) | beyond | (labels == blank), -1)
