"""Parts of a recording that are as long as what the model was trained on, cut where nobody speaks.

A recording is divided at its longest pause, and its parts are in turn, until all are short enough (Potapczyk and Przybysz 2020, SRPOL's System
for the IWSLT 2020 End-to-End Speech Translation Task). Windows do not overlap and leave no speech out, so that no word is lost or doubled.
"""

from collections.abc import Sequence

import numpy as np

from speechllm_plugin.data.audio import SAMPLE_RATE

Span = tuple[int, int]  # first sample and end

WHOLE_PAUSE_SECONDS = 1.0  # at most within a recording that stays whole
MARGIN_SECONDS = 0.05  # kept of a pause on each side of speech, as far as it has sound
QUIET_SECONDS = 0.05  # over which loudness is averaged where speech itself must be cut


def windows(waveform: np.ndarray, speech: Sequence[Span], window_seconds: float, longest_seconds: float, pause_seconds: float) -> list[Span]:
    """The windows of a recording, in order; none where nobody speaks.

    Args:
        waveform: (num_samples,) of 16 kHz.
        speech: spans in which somebody speaks.
        window_seconds: the longest window, margins apart.
        longest_seconds: of a recording that stays whole, unless it has a pause of more than WHOLE_PAUSE_SECONDS.
        pause_seconds: the longest pause within a window: in a longer one than it knows, a model says a word.
    """
    if not speech:
        return []
    num_samples, limit, longest_pause = len(waveform), int(window_seconds * SAMPLE_RATE), int(pause_seconds * SAMPLE_RATE)
    ends, starts = [0, *(end for _, end in speech)], [*(start for start, _ in speech), num_samples]
    pauses = np.subtract(starts, ends)
    if num_samples <= longest_seconds * SAMPLE_RATE and pauses.max() <= int(WHOLE_PAUSE_SECONDS * SAMPLE_RATE):
        return [(0, num_samples)]
    pieces = [piece for span in speech for piece in cut(waveform, span, limit)]
    margin = int(MARGIN_SECONDS * SAMPLE_RATE)
    groups = divided(pieces, limit, longest_pause)
    result = []
    for number, (start, end) in enumerate(groups):
        before = groups[number - 1][1] if number else 0
        after = groups[number + 1][0] if number + 1 < len(groups) else num_samples
        result.append(sounding(waveform, start - min(margin, (start - before) // 2), end + min(margin, (after - end) // 2)))
    return result


def sounding(waveform: np.ndarray, start: int, end: int) -> Span:
    """A window without the digital silence at its ends, since speech that a model was trained on has none there."""
    sound = np.flatnonzero(waveform[start:end])
    return (start + int(sound[0]), start + int(sound[-1]) + 1)


def divided(pieces: Sequence[Span], limit: int, longest_pause: int) -> list[Span]:
    """The pieces as groups of neighbours, at most `limit` long and without longer pauses; divided at longest pauses first."""
    starts, ends = np.array(pieces).T
    pauses = starts[1:] - ends[:-1]
    groups, waiting = [], [(0, len(pieces))]
    while waiting:
        first, end = waiting.pop()
        inner = pauses[first : end - 1]
        if len(inner) and (ends[end - 1] - starts[first] > limit or inner.max() > longest_pause):
            middle = first + 1 + int(inner.argmax())
            waiting += [(middle, end), (first, middle)]
        else:
            groups.append((int(starts[first]), int(ends[end - 1])))
    return groups


def cut(waveform: np.ndarray, span: Span, limit: int) -> list[Span]:
    """The span in parts of at most `limit` samples; speech without a pause is cut where it is least loud, in the second half of what fits."""
    start, end = span
    parts, width = [], int(QUIET_SECONDS * SAMPLE_RATE)
    while end - start > limit:
        first = start + limit // 2
        energy = np.concatenate([[0], np.cumsum(np.square(waveform[first : start + limit], dtype=np.float64))])
        quietest = int((energy[width:] - energy[:-width]).argmin()) if len(energy) > width else 0
        middle = first + quietest + width // 2
        parts.append((start, middle))
        start = middle
    return [*parts, (start, end)]
