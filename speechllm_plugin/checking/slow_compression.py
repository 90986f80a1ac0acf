"""CTC compression as its description reads: lists of states, loops over utterances and segments. The fast one is compared with it.

Source: Gaido et al. 2021, CTC-based Compression for Direct Speech Translation (arXiv:2102.01578).
"""

import itertools

import torch


def slow_segments(labels, blank, compression, stride, max_length=0):
    """Lists of the states that become one, for the best label of every state."""
    segments = slow_uncapped_segments(labels, blank, compression, stride)
    if not max_length or len(segments) <= max_length:
        return segments
    merged = [[] for _ in range(max_length)]
    for number, segment in enumerate(segments):
        merged[number * max_length // len(segments)] += segment
    return merged


def slow_uncapped_segments(labels, blank, compression, stride):
    states = list(range(len(labels)))
    if compression == "none":
        return [[state] for state in states]
    if compression == "fixed":
        return [states[start : start + stride] for start in states[::stride]]
    runs = [list(run) for _, run in itertools.groupby(states, key=labels.__getitem__)]
    if compression not in ("drop_blanks", "merge_blanks"):
        return runs
    if set(labels) == {blank}:
        return [states]
    if compression == "drop_blanks":
        return [run for run in runs if labels[run[0]] != blank]
    segments, blanks = [], []
    for run in runs:
        if labels[run[0]] == blank:
            blanks = run
        else:
            segments.append(blanks + run)
            blanks = []
    segments[-1] += blanks
    return segments


def slow_weights(logits, segment, compression):
    """One per state of a segment, for the logits (S, V + 1); they sum to 1."""
    probability = torch.stack([logits[state].softmax(-1).max() for state in segment])
    if compression == "weighted":
        return probability / probability.sum()
    return probability.softmax(0) if compression == "softmax" else torch.full_like(probability, 1 / len(segment))


def slow_compress(states, logits, lengths, compression, stride, max_length=0):
    """Per sentence its (N, C) merged states."""
    merged, blank = [], logits.size(-1) - 1
    for row, length in enumerate(lengths):
        segments = slow_segments(logits[row, :length].argmax(-1).tolist(), blank, compression, stride, max_length)
        weights = [slow_weights(logits[row], segment, compression) for segment in segments]
        merged.append(torch.stack([weight @ states[row, segment] for weight, segment in zip(weights, segments)]))
    return merged
