"""Sequences of millions of rows in two flat arrays each: small, and shared by forked workers, which would copy Python objects on reading."""

from array import array
from collections.abc import Iterable, Sequence

import numpy as np


class PackedArrays(Sequence[np.ndarray]):
    """Arrays of whole numbers, such as the token ids of every row, read as int64.

    Args:
        largest: the largest number that will come; none is negative.
    """

    def __init__(self, largest: int):
        self.kind = np.dtype(np.uint16 if largest < 2**16 else np.int32)
        self.values, self.ends = array("B"), array("q", [0])

    def extend(self, values: np.ndarray, lengths: np.ndarray) -> None:
        """Add arrays that stand behind one another in (sum of lengths,) values."""
        self.values.frombytes(values.astype(self.kind).tobytes())
        self.ends.frombytes((self.ends[-1] + lengths.cumsum()).tobytes())

    def add(self, others: "PackedArrays") -> None:
        """Add arrays that are packed already, with the same `largest`."""
        self.values.extend(others.values)
        add_ends(self.ends, others.ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        row = range(len(self))[row]
        start, end = self.ends[row], self.ends[row + 1]
        return np.frombuffer(self.values, self.kind, end - start, start * self.kind.itemsize).astype(np.int64)

    @property
    def lengths(self) -> np.ndarray:
        """(rows,) lengths of the arrays."""
        return np.diff(np.frombuffer(self.ends, np.int64))


class PackedGroups(Sequence[Sequence[np.ndarray]]):
    """Arrays of whole numbers in groups of one at least, such as the token ids of a teacher's texts of every row.

    Args:
        largest: as of PackedArrays.
    """

    def __init__(self, largest: int):
        self.arrays, self.ends = PackedArrays(largest), array("q", [0])

    def extend(self, values: np.ndarray, lengths: np.ndarray, sizes: np.ndarray) -> None:
        """Add groups of so many arrays each; the arrays are as for PackedArrays."""
        self.arrays.extend(values, lengths)
        self.ends.frombytes((self.ends[-1] + sizes.cumsum()).tobytes())

    def add(self, others: "PackedGroups") -> None:
        """Add groups that are packed already, with the same `largest`."""
        self.arrays.add(others.arrays)
        add_ends(self.ends, others.ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, row: int) -> list[np.ndarray]:
        row = range(len(self))[row]
        return [self.arrays[number] for number in range(self.ends[row], self.ends[row + 1])]


class PackedStrings(Sequence[str]):
    """Strings, such as the ids of every row."""

    def __init__(self, strings: Iterable[str] = ()):
        self.values, self.ends = array("B"), array("q", [0])
        self.extend(strings)

    def extend(self, strings: Iterable[str]) -> None:
        encoded = [string.encode() for string in strings]
        self.values.frombytes(b"".join(encoded))
        self.ends.frombytes((self.ends[-1] + np.fromiter(map(len, encoded), np.int64, len(encoded)).cumsum()).tobytes())

    def add(self, others: "PackedStrings") -> None:
        """Add strings that are packed already."""
        self.values.extend(others.values)
        add_ends(self.ends, others.ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, row: int) -> str:
        row = range(len(self))[row]
        return self.values[self.ends[row] : self.ends[row + 1]].tobytes().decode()


def add_ends(ends: "array[int]", others: "array[int]") -> None:
    """Add the ends of what comes behind; both begin with 0."""
    ends.frombytes((np.frombuffer(others, np.int64)[1:] + ends[-1]).tobytes())


def lengths_of(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """(rows,) lengths of arrays, packed or not."""
    return arrays.lengths if isinstance(arrays, PackedArrays) else np.fromiter(map(len, arrays), np.int64, len(arrays))


def longest_lengths(groups: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """(groups,) lengths of the longest array of each group, packed or not."""
    if isinstance(groups, PackedGroups):
        return np.maximum.reduceat(groups.arrays.lengths, np.frombuffer(groups.ends, np.int64)[:-1])
    return np.fromiter((max(map(len, arrays)) for arrays in groups), np.int64, len(groups))


def number_of(value: int, arrays: Sequence[np.ndarray]) -> int:
    """How often a value stands in arrays, packed or not."""
    if isinstance(arrays, PackedArrays):
        return int(np.count_nonzero(np.frombuffer(arrays.values, arrays.kind) == value))
    return sum(int(np.count_nonzero(array == value)) for array in arrays)
