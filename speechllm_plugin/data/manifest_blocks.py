"""The columns of a manifest in blocks of rows, for manifests of millions of rows, of which `manifest.read` would make as many objects."""

import io
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from speechllm_plugin.data import manifest
from speechllm_plugin.data.manifest import MANDATORY_COLUMNS, MOST_FRAMES, OPTIONAL_COLUMNS

LINES_PER_BLOCK = 1000
BYTES_AT_ONCE = 2**24
LINE_FEED = 10
MOST_DIGITS = 20  # as in manifest.read


class ManifestBlocks(Sequence[Mapping[str, Sequence[str]]]):
    """Blocks of rows: column -> its values, as they are written; optional columns that are not there are empty.

    Attributes:
        starts: (blocks + 1,) bytes of the file before each block, and its size.

    Raises:
        What `manifest.read` raises: for the file here, for a row when its block is read, for an id that stands twice in `check_ids`.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            manifest.read(self.path)
        with open(self.path, "rb") as file:
            header = file.readline()
            self.starts = block_starts(file, len(header))
        self.header = header.decode(errors="replace").rstrip("\r\n").split("\t")
        if "\r" in "".join(self.header):
            raise ValueError(f"{self.path}:1: lines must end with a line feed, but end with a carriage return alone; convert the file")
        if len(self.starts) < 2 or len(set(self.header)) < len(self.header) or not set(MANDATORY_COLUMNS) <= set(self.header):
            manifest.read(self.path)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, number: int) -> Mapping[str, Sequence[str]]:
        with open(self.path, "rb") as file:
            file.seek(self.starts[number])
            content = file.read(self.starts[number + 1] - self.starts[number])
        try:
            lines = content.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
        except UnicodeDecodeError:
            manifest.read(self.path)
            raise
        rows = [line.split("\t") for line in lines if line]
        columns = dict.fromkeys([*OPTIONAL_COLUMNS, *self.header], ("",) * len(rows))
        columns |= zip(self.header, zip(*rows))
        if any(len(row) != len(self.header) for row in rows) or not all(map(is_number_of_frames, columns["n_frames"])):
            manifest.read(self.path)
            raise AssertionError(f"{self.path}: irregular to one reader only")
        return columns

    def check_ids(self, hashes: array) -> None:
        """An error if an id stands twice; `hashes` are Python's of all ids."""
        ordered = np.sort(np.frombuffer(hashes, np.int64))
        if (ordered[1:] == ordered[:-1]).any():
            manifest.read(self.path)


def block_starts(file: io.BufferedReader, first: int) -> np.ndarray:
    """The places at which blocks of LINES_PER_BLOCK lines begin, and that of the end, from `first` on, where the file stands."""
    starts, num_lines, place = [np.array([first])], 0, first
    while content := file.read(BYTES_AT_ONCE):
        ends = np.flatnonzero(np.frombuffer(content, np.uint8) == LINE_FEED) + 1
        is_last_of_block = (num_lines + np.arange(1, len(ends) + 1)) % LINES_PER_BLOCK == 0
        starts.append(place + ends[is_last_of_block])
        num_lines, place = num_lines + len(ends), place + len(content)
    return np.unique(np.append(np.concatenate(starts), place))


def is_number_of_frames(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and 0 < int(text) <= MOST_FRAMES
