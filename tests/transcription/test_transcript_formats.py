"""Transcripts as files, and several windows as one transcript."""

import itertools
import json

import numpy as np
import pytest

from speechllm_plugin.transcription import joining
from speechllm_plugin.transcription.transcript import ScoredText, Word
from speechllm_plugin.transcription.transcript_formats import TRANSCRIPT_FORMATS
from speechllm_plugin.transcription.window_search import WindowText

SECOND = 16000
WINDOWS = [(0, SECOND), (2 * SECOND, 3 * SECOND), (3600 * SECOND, 3601 * SECOND)]
TEXTS = [
    WindowText((ScoredText("one two", -0.5), ScoredText("one too", -0.75)), (3, 3), (Word("one", 0.25, 0.5), Word("two", 0.5, 1.2))),
    None,
    WindowText((ScoredText("three", -0.25), ScoredText("tree", -0.3)), (2, 4), (Word("three", 0.0, 0.5),)),
]


@pytest.fixture
def transcript():
    return joining.transcript(np.zeros(3601 * SECOND, np.float32), WINDOWS, TEXTS, n_best=3)


def test_windows_become_a_transcript(transcript):
    assert transcript.text == "one two three" and transcript.seconds == 3601
    assert transcript.score == pytest.approx((3 * -0.5 + 2 * -0.25) / 5)
    assert [(segment.start, segment.end, segment.text) for segment in transcript.segments] == [(0, 1, "one two"), (3600, 3601, "three")]
    assert transcript.words == (Word("one", 0.25, 0.5), Word("two", 0.5, 1.0), Word("three", 3600.0, 3600.5))


def test_the_n_best_list_is_that_of_all_combinations(transcript):
    windows = [window for window in TEXTS if window]
    pairs = [list(zip(window.n_best, window.num_tokens)) for window in windows]
    everything = [(sum(each.score * number for each, number in pair), " ".join(each.text for each, _ in pair)) for pair in itertools.product(*pairs)]
    assert [each.text for each in transcript.n_best] == [text for _, text in sorted(everything, reverse=True)[:3]]


def test_nobody_speaks():
    silent = joining.transcript(np.zeros(SECOND, np.float32), [(0, SECOND)], [None], n_best=2)
    assert (silent.text, silent.segments, silent.n_best, silent.words) == ("", (), (), ())
    assert TRANSCRIPT_FORMATS["txt"]("a", silent) == "\n" and TRANSCRIPT_FORMATS["srt"]("a", silent) == ""


def test_chinese_has_no_blanks_at_seams():
    assert joining.joined(["你好", "世界", "ok", "好"]) == "你好世界ok好"


def test_formats(transcript):
    written = {name: form("a.wav", transcript) for name, form in TRANSCRIPT_FORMATS.items()}
    assert written["txt"] == "one two three\n"
    assert written["srt"].startswith("1\n00:00:00,250 --> 00:00:00,500\none\n\n2\n") and "01:00:00,000 --> 01:00:00,500\nthree\n" in written["srt"]
    assert written["vtt"].startswith("WEBVTT\n\n00:00:00.250 --> 00:00:00.500\none\n\n")
    assert written["tsv"].splitlines()[2] == "a.wav\t3600.000\t3600.500\tthree"
    everything = json.loads(written["json"])
    assert everything["file"] == "a.wav" and everything["segments"][0]["words"][1] == {"text": "two", "start": 0.5, "end": 1.0}


def test_without_words_a_segment_is_a_line(transcript):
    plain = joining.transcript(
        np.zeros(3601 * SECOND, np.float32), WINDOWS, [each and WindowText(each.n_best, each.num_tokens) for each in TEXTS], n_best=1
    )
    assert TRANSCRIPT_FORMATS["tsv"]("a", plain) == "a\t0.000\t1.000\tone two\na\t3600.000\t3601.000\tthree\n"
