"""Batches of few shapes, so that what is captured or compiled for a shape serves many batches (--num-batch-buckets).

A shape is a bucket: utterances that fit into it are padded to its widths, and it has a fixed number of rows. Utterances of an epoch that do
not fill a batch of their bucket go into the next longer one; only the last batch of the longest can have fewer rows than its shape.

Several ranks have batches of one shape in every step: none waits for another, and a graph that sums over ranks is replayed on all of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

WIDTH_MULTIPLE = 8  # of frames and tokens, except the widest
TEXTS_WITHIN = 0.98  # of the utterances of a bucket; those with longer texts go into the next one


class BatchShape(NamedTuple):
    """Rows of a batch, and the lengths that they are padded to. Targets are with tag and end of sentence."""

    num_sentences: int
    num_frames: int
    num_target_tokens: int
    num_transcript_tokens: int


def plan_shapes(
    lengths: np.ndarray, most: int, max_tokens: int | None, max_sentences: int | None, multiple: int, num_ranks: int = 1
) -> tuple[BatchShape, ...]:
    """The shapes with the fewest padded frames, shortest first; fewer than asked for where the utterances do not fill that many batches.

    Args:
        lengths: (rows, 3) frames, target tokens and transcript tokens of the utterances.
        most: number of shapes.
        max_tokens, max_sentences, multiple: frames and rows that a batch may have, and what its rows are a multiple of where they can be.
        num_ranks: that have a batch at a time.
    """
    frames = lengths[:, 0]
    if frames.max() > (max_tokens or np.inf):
        raise ValueError(f"--max-tokens {max_tokens} must be at least the {frames.max()} frames of the longest utterance: raise it")
    edges, group = np.unique(np.minimum(rounded_up(frames), frames.max()), return_inverse=True)  # (M,) candidates, ascending
    num_rows = rows_of_batch(edges, len(frames), max_tokens, max_sentences, multiple)
    below = np.concatenate([[0], np.bincount(group).cumsum()])  # rows up to each candidate
    chosen = cheapest_edges(edges, below, num_rows * num_ranks, most)
    bucket = np.searchsorted(edges[chosen], frames)
    texts = [text_widths(lengths[:, column], bucket, len(chosen)) for column in (1, 2)]
    return tuple(BatchShape(*map(int, shape)) for shape in zip(num_rows[chosen], edges[chosen], *texts))


def rounded_up(lengths):
    return -(-lengths // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def rows_of_batch(edges, num_utterances, max_tokens, max_sentences, multiple):
    """(M,) rows of a batch of each width."""
    rows = np.full(len(edges), num_utterances) if max_tokens is None else max_tokens // edges
    rows = np.minimum(rows, max_sentences or num_utterances)
    return np.where(rows >= multiple, rows - rows % multiple, rows)


def cheapest_edges(edges, below, num_rows, most) -> list[int]:
    """Which of the (M,) candidates are edges such that the sum of padded lengths is least; every bucket but the last fills a batch.

    Exact, by dynamic programming over the number of buckets.
    """
    count = below[None, 1:] - below[:-1, None]  # (M, M) rows after candidate i - 1 and up to j
    cost = np.where(count > 0, count * edges.astype(float), np.inf)
    cost[:, :-1][count[:, :-1] < num_rows[:-1]] = np.inf
    best, came_from = [cost[0]], []
    for _ in range(1, min(most, len(edges))):
        total = best[-1][:-1, None] + cost[1:]  # (M - 1, M): the last bucket begins after candidate i
        came_from.append(total.argmin(axis=0))
        best.append(total.min(axis=0))
    number = int(np.argmin([costs[-1] for costs in best]))
    chosen = [len(edges) - 1]
    for previous in reversed(came_from[:number]):
        chosen.append(int(previous[chosen[-1]]))
    return chosen[::-1]


def text_widths(num_tokens, bucket, num_buckets):
    """(num_buckets,) widths that hold nearly all texts of each bucket and of those below; the last holds all."""
    widths = [np.quantile(num_tokens[bucket == number], TEXTS_WITHIN, method="higher") for number in range(num_buckets)]
    widths = np.minimum(np.maximum.accumulate(rounded_up(np.array(widths))), num_tokens.max())
    widths[-1] = num_tokens.max()
    return widths


def bucket_of(lengths: np.ndarray, shapes: Sequence[BatchShape]) -> np.ndarray:
    """(rows,) number of the first shape that holds (rows, 3) lengths."""
    widths = np.array(shapes)[:, 1:]
    return np.max([np.searchsorted(column, length) for column, length in zip(widths.T, lengths.T)], axis=0)


def batches(indices: np.ndarray, lengths: np.ndarray, shapes: Sequence[BatchShape]) -> list[np.ndarray]:
    """The indices in batches, longest first; within a bucket they keep their order.

    Args:
        indices: (rows,) of utterances, with their (rows, 3) `lengths`.
    """
    return [rows for rows, _ in steps(indices, lengths, shapes, num_ranks=1)]


def batches_of_rank(
    indices: np.ndarray, lengths: np.ndarray, shapes: Sequence[BatchShape], rank: int, num_ranks: int
) -> list[tuple[np.ndarray, BatchShape | None]]:
    """The batches of one of several ranks, each with its shape, which is the same on all of them; what is left of an epoch comes last, without."""
    own = [(rows[rank::num_ranks], shape) for rows, shape in steps(indices, lengths, shapes, num_ranks)]
    return sorted(own, key=lambda batch: batch[1] is None)


def steps(indices: np.ndarray, lengths: np.ndarray, shapes: Sequence[BatchShape], num_ranks: int) -> list[tuple[np.ndarray, BatchShape | None]]:
    """What all ranks together read at a time, longest first, with the shape of each rank's batch; None is for what is left."""
    bucket = bucket_of(lengths, shapes)
    grouped: list[tuple[np.ndarray, BatchShape | None]] = []
    waiting = indices[:0]
    for number, shape in enumerate(shapes):
        waiting = np.concatenate([waiting, indices[bucket == number]])
        size = shape.num_sentences * num_ranks
        ends = range(size, len(waiting) + 1, size)
        grouped += [(waiting[end - size : end], shape) for end in ends]
        waiting = waiting[len(ends) * size :]
    return [*([(waiting, None)] if len(waiting) else []), *grouped[::-1]]


def shape_of(lengths: np.ndarray, shapes: Sequence[BatchShape]) -> BatchShape | None:
    """The first shape with as many rows that holds (B, 3) lengths; None for the rest of an epoch."""
    longest = lengths.max(axis=0)
    return next((shape for shape in shapes if shape.num_sentences == len(lengths) and (longest <= shape[1:]).all()), None)


def described(shapes: Sequence[BatchShape], lengths: np.ndarray) -> str:
    """The shapes in one line, with what padding (rows, 3) lengths to them costs."""
    widths = np.array(shapes)[bucket_of(lengths, shapes), 1:]
    padding = widths[:, 0].sum() / lengths[:, 0].sum() - 1
    named = "; ".join(f"{rows} x {frames}, {target}, {transcript}" for rows, frames, target, transcript in shapes)
    return f"batches of {len(shapes)} shapes, {padding:.1%} of padding: rows x frames, target tokens, transcript tokens: {named}"
