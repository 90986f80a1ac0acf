"""Packed sequences give back what went in."""

import numpy as np
import pytest

from speechllm_plugin.data.packed import PackedArrays, PackedGroups, PackedStrings, lengths_of, longest_lengths, number_of


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
    more = PackedArrays(largest)
    more.add(packed)
    more.add(PackedArrays(largest))
    more.add(packed)
    assert [array.tolist() for array in more] == 2 * [array.tolist() for array in arrays]


@pytest.mark.parametrize("largest", [9, 10**6])
def test_groups_come_back(largest):
    rng = np.random.default_rng(0)
    groups = [[rng.integers(0, largest + 1, length) for length in lengths] for lengths in ((3, 5, 0), (1,), (2, 0), (4, 4))]
    packed = PackedGroups(largest)
    for some in (groups[:1], groups[1:]):
        more, arrays = PackedGroups(largest), [array for group in some for array in group]
        more.extend(np.concatenate(arrays), np.array([len(array) for array in arrays]), np.array([len(group) for group in some]))
        packed.add(more)
    assert [[array.tolist() for array in group] for group in packed] == [[array.tolist() for array in group] for group in groups]
    assert longest_lengths(packed).tolist() == longest_lengths(groups).tolist() == [5, 1, 2, 4] and len(packed) == 4
    with pytest.raises(IndexError):
        packed[4]


def test_strings_come_back():
    strings = ["one", "", "zwölf", "十二", "\U0001f600 x"]
    packed = PackedStrings(strings[:2])
    packed.extend(strings[2:3])
    packed.add(PackedStrings(strings[3:]))
    packed.add(PackedStrings())
    assert list(packed) == strings and packed[-2] == "十二" and len(packed) == 5
    with pytest.raises(IndexError):
        packed[5]
