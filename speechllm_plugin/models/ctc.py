"""CTC head and CTC compression: states that share a label become one.

Source: Gaido et al. 2021, CTC-based Compression for Direct Speech Translation (arXiv:2102.01578).
"""

from typing import NamedTuple

import torch


class CTCOutput(NamedTuple):
    """Logits over the transcript vocabulary and the blank, which is last: (B, S, V + 1); (B,) number of states; after compression too."""

    logits: torch.Tensor
    lengths: torch.Tensor
    compressed_lengths: torch.Tensor | None = None


class Segments(NamedTuple):
    """What became of the states before compression: (B, S) number of the state after it, and (B, S) share in that; 0 where dropped."""

    number: torch.Tensor
    share: torch.Tensor


def starts_of_runs(labels):
    """(B, S) True at the first of equal labels in a row."""
    return torch.nn.functional.pad(labels[:, 1:] != labels[:, :-1], (1, 0), value=True)


def equal_weights(logits):
    return torch.ones_like(logits[..., 0])


def average(logits, padding, cfg):
    return starts_of_runs(logits.argmax(-1)).cumsum(1) - 1, equal_weights(logits)


def weighted(logits, padding, cfg):
    best, labels = logits.float().max(-1)
    return starts_of_runs(labels).cumsum(1) - 1, (best - logits.float().logsumexp(-1)).exp()


def softmax(logits, padding, cfg):
    """A softmax over the probabilities of a segment, as in the reference: weights go from 1 to e only."""
    segment, probability = weighted(logits, padding, cfg)
    return segment, probability.exp()


def fixed(logits, padding, cfg):
    position = torch.arange(logits.size(1), device=logits.device)
    return (position // cfg.ctc_compression_stride).expand(logits.shape[:2]), equal_weights(logits)


def drop_blanks(logits, padding, cfg):
    """As average, without the segments of blanks; an utterance of nothing but blanks keeps them, as one segment."""
    labels, is_kept = spoken_labels(logits, padding)
    is_kept |= ~is_kept.any(1, keepdim=True)
    segment = (starts_of_runs(labels) & is_kept).cumsum(1) - 1  # -1 at blanks before the first
    return segment.clamp(min=0), is_kept.float()


def merge_blanks(logits, padding, cfg):
    """As average, with blanks in the segment after them, the last ones in that before them; nothing but blanks is one segment."""
    labels, is_spoken = spoken_labels(logits, padding)
    starts = starts_of_runs(labels)
    starts[:, 1:] &= is_spoken[:, :-1]  # nothing starts after a blank
    segment = starts.cumsum(1) - 1
    last = segment.masked_fill(~is_spoken, 0).amax(1, keepdim=True)
    return segment.minimum(last), equal_weights(logits)


def spoken_labels(logits, padding):
    """(B, S) best labels, and True where they are not blank and no padding."""
    labels = logits.argmax(-1)
    return labels, (labels != logits.size(-1) - 1) & ~padding


# name -> function of the (B, S, V + 1) CTC logits, the (B, S) padding and the configuration: (B, S) segments and (B, S) weights
COMPRESSIONS = {
    "avg": average,
    "weighted": weighted,
    "softmax": softmax,
    "fixed": fixed,
    "drop_blanks": drop_blanks,
    "merge_blanks": merge_blanks,
}


def compress(states, logits, padding, cfg):
    """Merge the states (B, S, C) as --ctc-compression says; returns (B, N, C), their (B, N) padding and the Segments.

    `logits` are (B, S, V + 1), in one or several parts of the sentences.
    """
    with torch.no_grad():
        first, parts = 0, []
        for part in logits:
            parts.append(COMPRESSIONS[cfg.ctc_compression](part, padding[first : first + len(part)], cfg))
            first += len(part)
        segment, weight = (torch.cat(each) for each in zip(*parts))
        if cfg.ctc_compression_max_length:
            segment = merge_evenly(segment, padding, cfg.ctc_compression_max_length)
    pooled, lengths, share = pool_segments(states, segment, weight, padding)
    return pooled, torch.arange(pooled.size(1), device=lengths.device) >= lengths[:, None], Segments(segment, share)


def num_segments_of(segment, padding):
    """(B,) number of segments."""
    return segment.masked_fill(padding, -1).amax(1) + 1


def merge_evenly(segment, padding, max_length: int):
    """(B, S) segments, merged to exactly `max_length` where an utterance has more: number m of M becomes m * max_length // M."""
    number = num_segments_of(segment, padding)[:, None]
    return torch.where(number > max_length, segment * max_length // number, segment)


def pool_segments(states, segment, weight, padding):
    """Merge the states of each segment into their weighted mean.

    Args:
        states:  (B, S, C), one per 40 ms.
        segment: (B, S) segment number of every state, from 0 in each sentence, never decreasing.
        weight:  (B, S) positive, or 0 to drop a state; only the ratio within a segment counts. No gradient flows through it.
        padding: (B, S) True at padding.

    Returns:
        (B, N, C) means, zero at padding, (B,) their number, and the (B, S) share of every state in its segment.
    """
    num_sentences, _, dim = states.shape
    lengths = num_segments_of(segment, padding)
    num_segments = int(lengths.amax())  # the shape of the result: the one host sync
    row = torch.arange(num_sentences, device=states.device)[:, None] * num_segments
    place = (row + segment.clamp(max=num_segments - 1)).flatten()  # padding adds nothing, wherever it goes
    weight = weight.detach().float().masked_fill(padding, 0).flatten()
    total = weight.new_zeros(num_sentences * num_segments).index_add(0, place, weight)
    share = weight / total[place].clamp(min=torch.finfo(total.dtype).tiny)
    pooled = states.new_zeros(total.numel(), dim, dtype=torch.float32).index_add(0, place, states.flatten(0, 1).float() * share[:, None])
    return pooled.to(states.dtype).unflatten(0, (num_sentences, num_segments)), lengths, share.view_as(segment)


def greedy_labels(logits, lengths, blank: int):
    """The (B, S) best labels after merging repeats; -1 where a state adds none."""
    labels = logits.argmax(-1)
    beyond = torch.arange(labels.size(1), device=labels.device) >= lengths[:, None]
    return labels.masked_fill(~starts_of_runs(labels) | beyond | (labels == blank), -1)
