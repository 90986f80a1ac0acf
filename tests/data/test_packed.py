"""Packed sequences give back what went in."""

import numpy as np
import pytest

from speechllm_plugin.data.packed import PackedArrays, PackedStrings, lengths_of, number_of


@pytest.mark.parametrize("largest", [9, 2**16 - 1, 2**16, 10**6])
def test_arrays_come_back(largest):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, largest + 1, length) for length in (3, 0, 17, 1)] + [np.array([largest, 0])]
    packed = PackedArrays(largest)
    for some in (arrays[:2], arrays[2:]):
        packed.extend(np.concatenate(some), np.array([len(array) for array in some]))
    assert len(packed) == 5 and all(ours.tolist() == array.tolist() for ours, array in zip(packed, arrays))
    assert packed[1].dtype == np.int64 and packed[-1].tolist() == [largest, 0]
    assert lengths_of(packed).tolist() == lengths_of(arrays).tolist() == [3, 0, 17, 1, 2]
    assert number_of(largest, packed) == number_of(largest, arrays) > 0
    with pytest.raises(IndexError):
        packed[5]


def test_strings_come_back():
    strings = ["one", "", "zwölf", "十二", "\U0001f600 x"]
    packed = PackedStrings(strings[:2])
    packed.extend(strings[2:3])
    packed.add(PackedStrings(strings[3:]))
    packed.add(PackedStrings())
    assert list(packed) == strings and packed[-2] == "十二" and len(packed) == 5
    with pytest.raises(IndexError):
        packed[5]
