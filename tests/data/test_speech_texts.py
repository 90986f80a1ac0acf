"""The texts of a row: which one an epoch draws depends on its key alone, and the longest one decides where the row fits."""

import numpy as np
import pytest

from speechllm_plugin.data.speech_texts import SpeechTexts


def ids(*lengths):
    return [np.arange(length) for length in lengths]


TARGETS, ASR_TARGETS, KD_TARGETS = ids(3, 5, 2), ids(4, 1, 2), [ids(1, 6), ids(2), ids(2, 1, 1)]


@pytest.mark.parametrize(
    ("texts", "longest"),
    [
        ({}, [0, 0, 0]),
        ({"targets": TARGETS}, [3, 5, 2]),
        ({"targets": TARGETS, "asr_targets": ASR_TARGETS}, [4, 5, 2]),
        ({"targets": TARGETS, "asr_targets": ASR_TARGETS, "kd_targets": KD_TARGETS}, [6, 5, 2]),
        ({"targets": TARGETS, "transcripts": ids(9, 9, 9)}, [3, 5, 2]),
    ],
)
def test_the_longest_text_is_that_of_any_draw(texts, longest):
    assert SpeechTexts(**texts).longest(3).tolist() == longest


def test_the_draw_depends_on_its_key_alone():
    texts = SpeechTexts(targets=TARGETS, asr_targets=ASR_TARGETS, transcribe_probability=0.3, kd_targets=KD_TARGETS)
    keys = [(seed, epoch, f"u{row}") for seed in (1, 2) for epoch in range(1, 60) for row in range(3)]
    drawn = [texts.is_transcribed(key) for key in keys]
    assert drawn == [texts.is_transcribed(key) for key in keys] and 0.2 < np.mean(drawn) < 0.4
    for key, is_transcribed in zip(keys, drawn):
        assert texts.target(0, key) is (ASR_TARGETS if is_transcribed else TARGETS)[0]
        kd_target = texts.kd_target(0, key)
        assert kd_target is ASR_TARGETS[0] if is_transcribed else any(kd_target is text for text in KD_TARGETS[0])
    translated = [texts.kd_target(0, key) for key, is_transcribed in zip(keys, drawn) if not is_transcribed]
    assert {len(text) for text in translated} == {1, 6}


def test_without_transcripts_as_targets_nothing_is_transcribed():
    texts = SpeechTexts(targets=TARGETS, transcribe_probability=1.0)
    assert texts.target(1, (1, 1, "u1")) is TARGETS[1] and not texts.is_transcribed((1, 1, "u1"))
