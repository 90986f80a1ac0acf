"""Windows of recordings: none without speech, all of the speech, in order, apart, and as long as the model knows them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.transcription.windows import MARGIN_SECONDS, WHOLE_PAUSE_SECONDS, windows

PAUSE_SECONDS = 1.0


def samples(seconds):
    return int(seconds * SAMPLE_RATE)


def recording(stretches, level=0.0):
    """Noise where (pause, speech) seconds say so, and its spans."""
    parts, spans, position = [], [], 0
    rng = np.random.default_rng(0)
    for pause, speech in stretches:
        parts += [np.full(samples(pause), level), rng.uniform(-0.5, 0.5, samples(speech))]
        spans.append((position + samples(pause), position + samples(pause) + samples(speech)))
        position = spans[-1][1]
    return np.concatenate([*parts, np.full(samples(0.3), level)]).astype(np.float32), spans


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0.02, 2.0), st.floats(0.05, 7.0)), min_size=1, max_size=8), st.floats(0.5, 4.0))
def test_all_speech_is_in_one_window(stretches, limit):
    waveform, spans = recording(stretches)
    found = windows(waveform, spans, window_seconds=limit, longest_seconds=0, pause_seconds=PAUSE_SECONDS)
    covered = np.zeros(len(waveform), dtype=int)
    for start, end in found:
        covered[start:end] += 1
    assert covered.max() == 1 and found == sorted(found)
    assert all(covered[start:end].all() for start, end in spans)
    margins = samples(2 * MARGIN_SECONDS) + 2
    assert all(end - start <= samples(limit) + margins for start, end in found)


def test_silence_has_no_window():
    assert windows(np.zeros(samples(5), np.float32), [], window_seconds=2, longest_seconds=10, pause_seconds=PAUSE_SECONDS) == []


def test_what_the_model_knows_as_a_whole_stays_whole():
    waveform, spans = recording([(0.5, 1.0), (0.9, 1.0)])
    assert windows(waveform, spans, window_seconds=1.5, longest_seconds=4, pause_seconds=PAUSE_SECONDS) == [(0, len(waveform))]
    assert len(windows(waveform, spans, window_seconds=1.5, longest_seconds=3, pause_seconds=PAUSE_SECONDS)) == 2
    waveform, spans = recording([(0.5, 1.0), (WHOLE_PAUSE_SECONDS + 0.1, 1.0)])
    assert len(windows(waveform, spans, window_seconds=10, longest_seconds=10, pause_seconds=PAUSE_SECONDS)) == 2


def test_a_recording_is_divided_at_its_longest_pauses():
    waveform, spans = recording([(0.1, 1.0), (0.2, 1.0), (0.6, 1.0), (0.3, 1.0)], level=1e-3)
    found = windows(waveform, spans, window_seconds=3, longest_seconds=0, pause_seconds=PAUSE_SECONDS)
    margin = samples(MARGIN_SECONDS)
    assert [(spans[0][0] - margin, spans[1][1] + margin), (spans[2][0] - margin, spans[3][1] + margin)] == found


def test_windows_have_no_digital_silence_at_their_ends():
    waveform, spans = recording([(0.4, 1.0), (1.2, 1.0)])
    assert windows(waveform, spans, window_seconds=3, longest_seconds=0, pause_seconds=PAUSE_SECONDS) == spans


def test_a_pause_that_the_training_lacks_divides():
    waveform, spans = recording([(0.1, 1.0), (0.4, 1.0), (0.2, 1.0)])
    found = windows(waveform, spans, window_seconds=9, longest_seconds=0, pause_seconds=0.3)
    assert found == [spans[0], (spans[1][0], spans[2][1])]


@pytest.mark.parametrize("quiet", [2.0, 2.6])
def test_speech_without_a_pause_is_cut_where_it_is_least_loud(quiet):
    waveform, _ = recording([(0, 5.0)])
    waveform[samples(quiet) : samples(quiet + 0.06)] *= 0.01
    (_, first_end), *_ = windows(waveform, [(0, samples(5))], window_seconds=3, longest_seconds=0, pause_seconds=PAUSE_SECONDS)
    assert samples(quiet) <= first_end <= samples(quiet + 0.06)
