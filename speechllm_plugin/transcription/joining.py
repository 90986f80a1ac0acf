"""The windows of a recording as one transcript."""

import heapq
from collections.abc import Sequence

import numpy as np

from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.text.word_splitting import WRITTEN_WITHOUT_BLANKS
from speechllm_plugin.transcription import word_times
from speechllm_plugin.transcription.transcript import ScoredText, Segment, Transcript, Word
from speechllm_plugin.transcription.window_search import WindowText


def transcript(waveform: np.ndarray, windows: Sequence[tuple[int, int]], found: Sequence[WindowText | None], n_best: int) -> Transcript:
    """The transcript of a recording.

    Args:
        waveform: (num_samples,) of 16 kHz.
        windows: first sample and end of each, in order.
        found: their texts; None where nobody speaks.
        n_best: number of texts of the whole recording.
    """
    spoken = [(window, texts) for window, texts in zip(windows, found) if texts is not None and texts.n_best[0].text]
    segments = tuple(segment(waveform, *each) for each in spoken)
    best = best_combinations([texts for _, texts in spoken], n_best) if spoken else ()
    text, score = (best[0].text, best[0].score) if best else ("", 0.0)
    return Transcript(text, score, best, segments, len(waveform) / SAMPLE_RATE)


def segment(waveform: np.ndarray, window: tuple[int, int], texts: WindowText) -> Segment:
    first, last = window
    start, end = first / SAMPLE_RATE, last / SAMPLE_RATE
    words = word_times.until_quiet(texts.words, waveform[first:last], SAMPLE_RATE)
    words = tuple(Word(word.text, start + word.start, start + word.end) for word in words)
    return Segment(start, end, texts.n_best[0].text, texts.n_best[0].score, texts.n_best, words)


def best_combinations(windows: Sequence[WindowText], number: int) -> tuple[ScoredText, ...]:
    """The best texts of a recording whose windows are independent: the sums of log probabilities are the largest."""
    combinations: list[tuple[float, int, tuple[str, ...]]] = [(0.0, 0, ())]
    for window in windows:
        longer = (
            (total + each.score * num_tokens, length + num_tokens, (*texts, each.text))
            for total, length, texts in combinations
            for each, num_tokens in zip(window.n_best, window.num_tokens)
        )
        combinations = heapq.nlargest(number, longer)
    return tuple(ScoredText(joined(texts), total / length) for total, length, texts in combinations)


def joined(texts: Sequence[str]) -> str:
    """Texts one behind the other, with a blank between them unless the script has none."""
    whole = ""
    for text in filter(None, texts):
        needs_blank = whole and not (WRITTEN_WITHOUT_BLANKS.match(whole[-1]) or WRITTEN_WITHOUT_BLANKS.match(text[0]))
        whole += " " * bool(needs_blank) + text
    return whole
