"""Recordings are read ahead: in order, with what cannot be read, and not all at once."""

import time

import numpy as np
import pytest

from speechllm_plugin.transcription.recordings import Recording, read_ahead

NAMED = [Recording(str(number), str(number), str(number)) for number in range(20)]


@pytest.mark.parametrize("num_readers", [1, 4])
def test_recordings_come_in_order_with_what_cannot_be_read(num_readers):
    def read(source):
        time.sleep(0.001 * (7 - int(source) % 7))
        if source == "3":
            raise ValueError("3: cut short")
        return np.full(int(source), 1.0)

    found = list(read_ahead(NAMED, read, num_readers))
    assert [recording for recording, _ in found] == NAMED and str(found[3][1]) == "3: cut short"
    assert [len(waveform) for _, waveform in found if not isinstance(waveform, ValueError)] == [n for n in range(20) if n != 3]


def test_memory_holds_few_recordings_at_a_time():
    started = []
    for position, _ in enumerate(read_ahead(NAMED, lambda source: started.append(source) or np.zeros(1), 4)):
        assert len(started) <= position + 1 + 4


def test_what_is_no_error_of_a_recording_ends_the_reading():
    def read(source):
        raise MemoryError(source)

    with pytest.raises(MemoryError):
        list(read_ahead(NAMED, read, 2))
