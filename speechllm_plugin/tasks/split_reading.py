"""The rows of a split with the token ids of their texts, read block after block: by several processes where there are many."""

import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from speechllm_plugin.data.manifest_blocks import ManifestBlocks

BLOCKS_PER_PROCESS, MOST_PROCESSES = 25, 16  # a process for less would take longer to begin than to read


class ReadBlocks(Dataset):
    """What `read` makes of each block's columns and number, with hashes of its rows' ids; or the error, so that no process adds its own words."""

    def __init__(self, blocks: ManifestBlocks, read: Callable[[Mapping[str, Sequence[str]], int], Any]):
        self.blocks, self.read = blocks, read

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int):
        try:
            columns = self.blocks[number]
            return array("q", map(hash, columns["id"])), self.read(columns, number)
        except ValueError as error:
            return error, None


def read_split(path, read: Callable[[Mapping[str, Sequence[str]], int], Any]) -> Iterator[Any]:
    """What `read` makes of the blocks of a manifest, in their order.

    Raises:
        ValueError: the manifest cannot be read, an id stands twice, or what `read` raises.
    """
    blocks, hashes = ManifestBlocks(path), array("q")
    processes = min(os.cpu_count() or 1, len(blocks) // BLOCKS_PER_PROCESS, MOST_PROCESSES)
    context = "fork" if processes else None
    loader = DataLoader(ReadBlocks(blocks, read), None, collate_fn=as_it_is, num_workers=processes, multiprocessing_context=context)
    for hashes_of_block, values in loader:
        if isinstance(hashes_of_block, ValueError):
            raise hashes_of_block
        hashes.extend(hashes_of_block)
        yield values
    blocks.check_ids(hashes)


def as_it_is(block):
    return block
