"""The CTC loss in Triton, without log-probabilities of the whole vocabulary in memory and without a wait for the host. The gradient of the logits is
written over them.

The states of CTC's lattice are kept in two rows: blank 0 ... W and label 0 ... W - 1, where blank j stands before label j.

Source: Graves et al. 2006, Connectionist Temporal Classification, section 4.

Shapes: B sentences   S states   V types, with the blank   W labels of the longest transcript.
"""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from speechllm_plugin.models.kernels.log_normaliser import TYPES_AT_ONCE, log_normaliser
from speechllm_plugin.models.kernels.written_over import given_up, written_over

LABELS_AT_ONCE, SMALLEST_WIDTH = 16, 16
LATTICE_SIZES = ["num_states", "num_types", "num_labels", "stride_sentence", "stride_state", "blank"]


@triton.jit
def log_sum(a, b, c):
    """The logarithm of the sum of three exponentials, of which all may be zero."""
    most = tl.maximum(tl.maximum(a, b), c)
    most = tl.where(most == float("-inf"), 0.0, most)
    return most + tl.log(tl.exp(a - most) + tl.exp(b - most) + tl.exp(c - most))


@triton.jit
def largest(blanks, spoken):
    """The largest number of both rows; 0 where all are impossible."""
    most = tl.max(tl.maximum(blanks, spoken), 0)
    return tl.where(most == float("-inf"), 0.0, most)


@triton.jit(do_not_specialize=LATTICE_SIZES)
def _label_scores(
    logits, labels, lengths, normaliser, scores, num_states, num_types, num_labels, stride_sentence, stride_state, blank,
    TYPES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Per state the normaliser of its logits, and the (W + 1) log probabilities of the labels and, last, of the blank."""
    sentence, state = tl.program_id(0), tl.program_id(1)
    if state < tl.load(lengths + sentence):
        row = logits + sentence.to(tl.int64) * stride_sentence + state.to(tl.int64) * stride_state
        whole, _ = log_normaliser(row, num_types, TYPES)
        where = sentence.to(tl.int64) * num_states + state
        tl.store(normaliser + where, whole)
        column = tl.arange(0, WIDTH)
        label = tl.load(labels + sentence * num_labels + column, mask=column < num_labels, other=blank)
        value = tl.load(row + label, mask=column <= num_labels, other=0.0).to(tl.float32)
        tl.store(scores + where * (num_labels + 1) + column, value - whole, mask=column <= num_labels)


@triton.jit(do_not_specialize=LATTICE_SIZES)
def _recursions(labels, lengths, label_lengths, scores, forward, backward, log_likelihood, num_states, num_labels, WIDTH: tl.constexpr):
    """Forward variables with the score of their own state, or backward ones without; (B, S, 2, W + 1), blanks first.

    In each state the largest is 0: sums over a long utterance would lose what tells its states apart.
    """
    sentence = tl.program_id(0)
    length, num_own = tl.load(lengths + sentence).to(tl.int32), tl.load(label_lengths + sentence).to(tl.int32)
    column = tl.arange(0, WIDTH)
    inside, is_blank, is_label = column <= num_labels, column <= num_own, column < num_own
    own_labels = labels + sentence * num_labels + column
    label = tl.load(own_labels, mask=is_label, other=-1)
    wide = num_labels + 1
    scores += sentence.to(tl.int64) * num_states * wide
    never = tl.full([WIDTH], float("-inf"), tl.float32)
    if tl.program_id(1) == 0:
        before = tl.maximum(column - 1, 0)
        follows = (column > 0) & is_label
        jumps = follows & (label != tl.load(own_labels - 1, mask=follows, other=-1))
        at = forward + sentence.to(tl.int64) * num_states * 2 * wide + column
        # Before the first state only blank 0 "was": what it is followed by is blank 0 or label 0.
        blanks = tl.where((column == 0) & (length > 0), 0.0, never)
        spoken = never
        taken_off = tl.sum(tl.zeros([WIDTH], tl.float32), 0)
        for state in range(0, length):
            of_blank = tl.load(scores + state * wide + num_labels)
            of_label = tl.load(scores + state * wide + column, mask=is_label, other=float("-inf"))
            last = tl.where(column > 0, tl.gather(spoken, before, 0), never)
            new_blanks = tl.where(is_blank, log_sum(blanks, last, never) + of_blank, never)
            spoken = tl.where(is_label, log_sum(spoken, blanks, tl.where(jumps, last, never)) + of_label, never)
            most = largest(new_blanks, spoken)
            blanks, spoken, taken_off = new_blanks - most, spoken - most, taken_off + most
            tl.store(at + state * 2 * wide, blanks, mask=inside)
            tl.store(at + state * 2 * wide + wide, spoken, mask=inside)
        ends = tl.where(column == num_own, blanks, tl.where(column == num_own - 1, spoken, never))
        most = largest(ends, ends)
        result = taken_off + most + tl.log(tl.sum(tl.exp(ends - most), 0))
        tl.store(log_likelihood + sentence, tl.where((length == 0) & (num_own == 0), 0.0, result))
    else:
        after = tl.minimum(column + 1, WIDTH - 1)
        precedes = column + 1 < num_own
        jumps = precedes & (label != tl.load(own_labels + 1, mask=precedes, other=-1))
        at = backward + sentence.to(tl.int64) * num_states * 2 * wide + column
        blanks = tl.where(column == num_own, 0.0, never)
        spoken = tl.where(column == num_own - 1, 0.0, never)
        for back in range(0, length):
            state = length - 1 - back
            tl.store(at + state * 2 * wide, blanks, mask=inside)
            tl.store(at + state * 2 * wide + wide, spoken, mask=inside)
            of_blank = tl.load(scores + state * wide + num_labels)
            of_label = tl.load(scores + state * wide + column, mask=is_label, other=float("-inf"))
            to_blank = tl.where(is_blank, blanks + of_blank, never)
            to_label = tl.where(is_label, spoken + of_label, never)
            next_blank, next_label = tl.gather(to_blank, after, 0), tl.gather(to_label, after, 0)
            blanks = log_sum(to_blank, to_label, never)
            spoken = tl.where(is_label, log_sum(to_label, next_blank, tl.where(jumps, next_label, never)), never)
            most = largest(blanks, spoken)
            blanks, spoken = blanks - most, spoken - most


@triton.jit
def _both_ways(forward, backward, at, mask):
    """The log probability of lattice states with the transcript, less a number that is the same for all of a time."""
    return tl.load(forward + at, mask=mask, other=float("-inf")) + tl.load(backward + at, mask=mask, other=float("-inf"))


@triton.jit(do_not_specialize=LATTICE_SIZES)
def _logit_gradient(
    logits, labels, lengths, label_lengths, normaliser, forward, backward, log_likelihood, gradient,
    num_states, num_types, num_labels, stride_sentence, stride_state, blank,
    TYPES: tl.constexpr, WIDTH: tl.constexpr, LABELS: tl.constexpr,
):  # fmt: skip
    """Over the logits of a state their gradient: probabilities without the transcript less those given it, 0 for padding and what is impossible."""
    sentence, state = tl.program_id(0), tl.program_id(1)
    where = sentence.to(tl.int64) * num_states + state
    row = logits + sentence.to(tl.int64) * stride_sentence + state.to(tl.int64) * stride_state
    counts = (state < tl.load(lengths + sentence)) & (tl.load(log_likelihood + sentence) != float("-inf"))
    whole = tl.load(normaliser + where, mask=counts, other=0.0)
    factor = tl.load(gradient)
    num_own = tl.load(label_lengths + sentence).to(tl.int32)
    column = tl.arange(0, WIDTH)
    is_label = (column < num_own) & counts
    label = tl.load(labels + sentence * num_labels + column, mask=is_label, other=-1)
    of_label = tl.load(row + label, mask=is_label, other=0.0).to(tl.float32)
    of_blank = tl.load(row + blank).to(tl.float32)
    tl.debug_barrier()  # what follows writes over these
    for first in range(0, num_types, TYPES):
        place = first + tl.arange(0, TYPES)
        value = tl.load(row + place, mask=(place < num_types) & counts, other=float("-inf")).to(tl.float32)
        tl.store(row + place, tl.where(counts, factor * tl.exp(value - whole), 0.0).to(logits.dtype.element_ty), mask=place < num_types)
    if counts:
        tl.debug_barrier()  # what follows writes over some of this
        at = where * 2 * (num_labels + 1)
        blanks = _both_ways(forward, backward, at + column, column <= num_own)
        spoken = _both_ways(forward, backward, at + num_labels + 1 + column, is_label)
        most = largest(blanks, spoken)
        whole_lattice = most + tl.log(tl.sum(tl.exp(blanks - most), 0) + tl.sum(tl.exp(spoken - most), 0))
        given = tl.zeros([WIDTH], tl.float32)  # of a label, wherever it stands in the transcript
        for first in range(0, num_own, LABELS):
            part = first + tl.arange(0, LABELS)
            is_part = part < num_own
            occupancy = tl.exp(_both_ways(forward, backward, at + num_labels + 1 + part, is_part) - whole_lattice)
            other = tl.load(labels + sentence * num_labels + part, mask=is_part, other=-2)
            given += tl.sum(tl.where(label[:, None] == other[None], occupancy[None], 0.0), 1)
        tl.store(row + label, (factor * (tl.exp(of_label - whole) - given)).to(logits.dtype.element_ty), mask=is_label)
        given_blank = tl.sum(tl.exp(blanks - whole_lattice), 0)
        tl.store(row + blank, (factor * (tl.exp(of_blank - whole) - given_blank)).to(logits.dtype.element_ty))


class _CTCLoss(Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, blank: int) -> Tensor:
        num_sentences, num_states, num_types = logits.shape
        logits = given_up(logits)
        labels, lengths, label_lengths = labels.contiguous(), lengths.contiguous(), label_lengths.contiguous()
        num_labels, device = labels.size(1), logits.device
        width = max(SMALLEST_WIDTH, triton.next_power_of_2(num_labels + 1))
        normaliser = torch.empty(num_sentences, num_states, device=device)
        scores = torch.empty(num_sentences, num_states, num_labels + 1, device=device)
        lattice = torch.empty(2, num_sentences, num_states, 2, num_labels + 1, device=device)
        log_likelihood = torch.empty(num_sentences, device=device)
        sizes = num_states, num_types, num_labels, logits.stride(0), logits.stride(1), blank
        if logits.numel():
            _label_scores[(num_sentences, num_states)](logits, labels, lengths, normaliser, scores, *sizes, TYPES_AT_ONCE, width, num_warps=4)
        if num_sentences:
            _recursions[(num_sentences, 2)](
                labels, lengths, label_lengths, scores, *lattice, log_likelihood, num_states, num_labels, width, num_warps=min(8, max(1, width // 64))
            )
        ctx.save_for_backward(logits, labels, lengths, label_lengths, normaliser, lattice, log_likelihood)
        ctx.sizes, ctx.width = sizes, width
        return torch.where(log_likelihood == -torch.inf, 0.0, -log_likelihood).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        logits, labels, lengths, label_lengths, normaliser, lattice, log_likelihood = ctx.saved_tensors
        if logits.numel():
            _logit_gradient[logits.shape[:2]](
                logits, labels, lengths, label_lengths, normaliser, *lattice, log_likelihood, gradient.float(), *ctx.sizes,
                TYPES_AT_ONCE, ctx.width, LABELS_AT_ONCE, num_warps=4,
            )  # fmt: skip
        return written_over(logits), None, None, None, None


def ctc_loss(logits: Tensor, labels: Tensor, lengths: Tensor, label_lengths: Tensor, blank: int) -> Tensor:
    """torch's CTC loss of log_softmax(logits) with reduction "sum" and zero_infinity, computed in float32.

    Args:
        logits: (B, S, V) of any floating type. Those of a model hold their gradient after the backward pass.
        labels: (B, W), any of the types behind the end of a transcript: they are read, and have no effect.
        lengths: (B,) states.
        label_lengths: (B,) labels of each transcript.
        blank: its type.
    """
    return _CTCLoss.apply(logits, labels, lengths, label_lengths, blank)
