"""CTC head and CTC compression: states that share a label become one.

Source: Gaido et al. 2021, CTC-based Compression for Direct Speech Translation (arXiv:2102.01578).
"""

from typing import NamedTuple

import torch


class CTCOutput(NamedTuple):
    """Logits over the transcript vocabulary and the blank, which is last: (B, S, V + 1); (B,) number of states."""

    logits: torch.Tensor
    lengths: torch.Tensor


def segments_of_labels(labels):
    """(B, S) number of the run of equal labels that each state belongs to, from 0 in each sentence."""
    changes = torch.zeros_like(labels)
    changes[:, 1:] = labels[:, 1:] != labels[:, :-1]
    return changes.cumsum(1)


def average(logits, cfg):
    return segments_of_labels(logits.argmax(-1)), torch.ones_like(logits[..., 0])


def weighted(logits, cfg):
    best, labels = logits.float().max(-1)
    return segments_of_labels(labels), (best - logits.float().logsumexp(-1)).exp()


def softmax(logits, cfg):
    """A softmax over the probabilities of a segment, as in the reference: weights go from 1 to e only."""
    segment, probability = weighted(logits, cfg)
    return segment, probability.exp()


def fixed(logits, cfg):
    position = torch.arange(logits.size(1), device=logits.device)
    return (position // cfg.ctc_compression_stride).expand(logits.shape[:2]), torch.ones_like(logits[..., 0])


# name -> function of the (B, S, V + 1) CTC logits and the configuration: (B, S) segments and (B, S) weights
COMPRESSIONS = {"avg": average, "weighted": weighted, "softmax": softmax, "fixed": fixed}


def compress(states, logits, padding, cfg):
    """Merge the states (B, S, C) as --ctc-compression says; returns (B, N, C) and their (B, N) padding."""
    with torch.no_grad():
        segment, weight = COMPRESSIONS[cfg.ctc_compression](logits, cfg)
    pooled, lengths = pool_segments(states, segment, weight, padding)
    return pooled, torch.arange(pooled.size(1), device=lengths.device) >= lengths[:, None]


def pool_segments(states, segment, weight, padding):
    """Merge the states of each segment into their weighted mean.

    Args:
        states:  (B, S, C), one per 40 ms.
        segment: (B, S) segment number of every state, from 0 in each sentence, never decreasing.
        weight:  (B, S) positive; only the ratio within a segment counts. No gradient flows through it.
        padding: (B, S) True at padding.

    Returns:
        (B, N, C) means, zero at padding, and (B,) their number.
    """
    num_sentences, _, dim = states.shape
    lengths = segment.masked_fill(padding, -1).amax(1) + 1
    num_segments = int(lengths.amax())                                  # the shape of the result: the one host sync
    row = torch.arange(num_sentences, device=states.device)[:, None] * num_segments
    place = (row + segment.clamp(max=num_segments - 1)).flatten()       # padding adds nothing, wherever it goes
    weight = weight.detach().float().masked_fill(padding, 0).flatten()
    total = weight.new_zeros(num_sentences * num_segments).index_add(0, place, weight)
    share = (weight / total[place].clamp(min=torch.finfo(total.dtype).tiny))[:, None]
    pooled = states.new_zeros(total.numel(), dim, dtype=torch.float32).index_add(0, place, states.flatten(0, 1).float() * share)
    return pooled.to(states.dtype).unflatten(0, (num_sentences, num_segments)), lengths


def greedy_labels(logits, lengths, blank: int):
    """The (B, S) best labels after merging repeats; -1 where a state adds none."""
    labels = logits.argmax(-1)
    repeated = torch.zeros_like(labels, dtype=torch.bool)
    repeated[:, 1:] = labels[:, 1:] == labels[:, :-1]
    beyond = torch.arange(labels.size(1), device=labels.device) >= lengths[:, None]
    return labels.masked_fill(repeated | beyond | (labels == blank), -1)
