"""CTC compression: the states of a segment become one, as a strategy of COMPRESSIONS says; and the same as loops, to compare with.

Source: Gaido et al. 2021, CTC-based Compression for Direct Speech Translation (arXiv:2102.01578).
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from speechllm_plugin.models.compressions import COMPRESSIONS


class Segments(NamedTuple):
    """The segments that the states before compression went to.

    number: (B, S) number of the state after it.
    share:  (B, S) share in that; 0 where dropped.
    """

    number: Tensor
    share: Tensor


def compress(states: Tensor, logits: Iterable[Tensor], padding: Tensor, cfg: Any) -> tuple[Tensor, Tensor, Segments]:
    """Merge states as --ctc-compression says.

    Args:
        states:  (B, S, C).
        logits:  (B, S, V + 1), in one or several parts of the sentences.
        padding: (B, S).
        cfg:     flags of the model.

    Returns:
        (B, N, C) merged states, their (B, N) padding, and the Segments.
    """
    return merge(states, *find_segments(logits, padding, cfg), padding)


@torch.no_grad()
def find_segments(logits: Iterable[Tensor], padding: Tensor, cfg: Any) -> tuple[Tensor, Tensor]:
    """The (B, S) segment of every state and its (B, S) weight in it, as `merge` takes them. The arguments are those of `compress`."""
    strategy = COMPRESSIONS[cfg.ctc_compression]
    first, parts = 0, []
    for part in logits:
        parts.append(strategy.segments(part, padding[first : first + len(part)], cfg))
        first += len(part)
    segment, weight = (torch.cat(each) for each in zip(*parts))
    if cfg.ctc_compression_max_length:
        segment = merge_evenly(segment, padding, cfg.ctc_compression_max_length)
    return segment, weight


def merge(states: Tensor, segment: Tensor, weight: Tensor, padding: Tensor) -> tuple[Tensor, Tensor, Segments]:
    """What `compress` returns, of segments that are known; the host waits for their number."""
    pooled, lengths, share = pool_segments(states, segment, weight, padding)
    return pooled, torch.arange(pooled.size(1), device=lengths.device) >= lengths[:, None], Segments(segment, share)


def num_segments_of(segment: Tensor, padding: Tensor) -> Tensor:
    """The (B,) number of segments of each sentence."""
    return segment.masked_fill(padding, -1).amax(1) + 1


def merge_evenly(segment: Tensor, padding: Tensor, max_length: int) -> Tensor:
    """The (B, S) segments, merged to exactly `max_length` where an utterance has more: number m of M becomes m * max_length // M."""
    number = num_segments_of(segment, padding)[:, None]
    return torch.where(number > max_length, segment * max_length // number, segment)


def pool_segments(states: Tensor, segment: Tensor, weight: Tensor, padding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Merge the states of each segment into their weighted mean.

    Args:
        states:  (B, S, C), one per 40 ms.
        segment: (B, S) segment number of every state, from 0 in each sentence, never decreasing.
        weight:  (B, S) positive, or 0 to drop a state; only the ratio within a segment counts. No gradient flows through it.
        padding: (B, S) True at padding.

    Returns:
        (B, N, C) means, zero at padding, (B,) their number, and the (B, S) share of every state in its segment.
    """
    lengths = num_segments_of(segment, padding)
    num_segments = int(lengths.amax())  # the shape of the result: the one host sync
    row, column = (torch.arange(size, device=states.device) for size in segment.shape)
    own = torch.where(padding, column % num_segments, segment)  # padding adds nothing, wherever it goes: here evenly to all
    place = (row[:, None] * num_segments + own).flatten()
    weight = weight.detach().float().masked_fill(padding, 0).flatten()
    total = sums_by_place(weight[:, None], place, len(states) * num_segments)[:, 0]
    share = weight / total[place].clamp(min=torch.finfo(total.dtype).tiny)
    pooled = sums_by_place(states.flatten(0, 1).float() * share[:, None], place, len(total))
    return pooled.to(states.dtype).unflatten(0, (len(states), num_segments)), lengths, share.view_as(segment)


def sums_by_place(values: Tensor, place: Tensor, num_places: int) -> Tensor:
    """The (num_places, C) sums of (M, C) values that go to the (M,) places; the same bits in every run.

    On a GPU torch's index_add adds in any order, so that a text decoded again would get another score. Its index_put sorts by place there.
    """
    sums = values.new_zeros(num_places, values.size(1))
    return sums.index_put_((place,), values, accumulate=True) if values.is_cuda else sums.index_add_(0, place, values)


def slow_segments(labels: list[int], blank: int, cfg: Any, blank_probabilities: Sequence[float]) -> list[list[int]]:
    """The states of each segment, after --ctc-compression-max-length, of an utterance with these best labels and probabilities of the blank."""
    strategy, max_length = COMPRESSIONS[cfg.ctc_compression], cfg.ctc_compression_max_length
    segments = strategy.slow_segments(labels, blank, cfg, *([blank_probabilities] if strategy.asks_blank_probabilities else []))
    if not max_length or len(segments) <= max_length:
        return segments
    merged: list[list[int]] = [[] for _ in range(max_length)]
    for number, segment in enumerate(segments):
        merged[number * max_length // len(segments)] += segment
    return merged


def slow_compress(states: Tensor, logits: Tensor, lengths: list[int], cfg: Any) -> list[Tensor]:
    """The (N, C) merged states of each sentence, by loops over utterances and segments."""
    merged, slow_weights = [], COMPRESSIONS[cfg.ctc_compression].slow_weights
    for row, length in enumerate(lengths):
        labels, best = logits[row, :length].argmax(-1), logits[row, :length].softmax(-1).amax(-1)
        of_blank = logits[row, :length].double().softmax(-1)[:, -1]
        segments = slow_segments(labels.tolist(), logits.size(-1) - 1, cfg, of_blank.tolist())
        merged.append(torch.stack([slow_weights(best[segment]) @ states[row, segment] for segment in segments]))
    return merged
