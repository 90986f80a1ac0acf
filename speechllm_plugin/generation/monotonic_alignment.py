"""The best monotonic path of labels through speech: when each of them is said. By maxima over time, without a loop over states.

Shapes: B sentences   W labels   S speech states.
"""

import math

import torch
from torch import Tensor


def label_spans(label_scores: Tensor, gap_scores: Tensor, lengths: Tensor, num_labels: Tensor, is_repeated: Tensor | None = None) -> Tensor:
    """The (B, W, 2) first state of every label, and the state after its last, on the path with the largest sum of scores.

    A path gives every state to a label or to a gap; a label has one state at least, gaps may be empty.

    Args:
        label_scores: (B, W, S) of a label in a state; for CTC its log probability.
        gap_scores: (B, S); for CTC that of the blank.
        lengths: (B,) states of each sentence.
        num_labels: (B,) labels of each sentence; spans of the others mean nothing.
        is_repeated: (B, W) the label needs a gap before it, as CTC's equal labels do.
    """
    num_sentences, num_all, num_states = label_scores.shape
    total = torch.nn.functional.pad(label_scores.double().cumsum(-1), (1, 0))  # (B, W, S + 1): a position is a number of states
    gap_total = torch.nn.functional.pad(gap_scores.double().cumsum(-1), (1, 0))
    in_label, in_gap = torch.full_like(gap_total, -math.inf), gap_total
    starts, ends, after_gap, finals = [], [], [], []
    for number in range(num_all):
        may_follow = in_label if is_repeated is None else in_label.masked_fill(is_repeated[:, number, None], -math.inf)
        after_gap.append(in_gap >= may_follow)
        in_label, start = longest(torch.maximum(in_gap, may_follow), total[:, number])
        in_gap, end = longest(in_label, gap_total)
        starts.append(start)
        ends.append(end)
        finals.append(torch.stack([in_label, in_gap]).gather(2, lengths.expand(2, -1)[..., None])[..., 0])

    spans = lengths.new_zeros(num_sentences, num_all, 2)
    position, is_in_gap = lengths, torch.zeros_like(lengths, dtype=torch.bool)
    for number in reversed(range(num_all)):
        is_last, is_there = num_labels == number + 1, num_labels > number
        is_in_gap = torch.where(is_last, finals[number][1] > finals[number][0], is_in_gap)
        end = torch.where(is_in_gap, at(ends[number], position), position)
        start = at(starts[number], end)
        spans[:, number] = torch.where(is_there[:, None], torch.stack([start, end], 1), 0)
        is_in_gap = torch.where(is_there, at(after_gap[number], start), is_in_gap)
        position = torch.where(is_there, start, position)
    return spans


def longest(before: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """The best (B, S + 1) sum for a run that ends at each position, and where that run starts.

    Args:
        before: (B, S + 1) best sum up to where the run starts.
        total: (B, S + 1) cumulative scores of the run's states.
    """
    best, start = (before - total)[:, :-1].cummax(-1)
    ended = total[:, 1:] + best
    return torch.nn.functional.pad(ended, (1, 0), value=-math.inf), torch.nn.functional.pad(start, (1, 0))


def at(values: Tensor, position: Tensor) -> Tensor:
    """(B, S + 1) -> (B,) the value of each row at its position."""
    return values.gather(1, position[:, None])[:, 0]
