"""What finished files were, so that one that was cut, changed or damaged since is noticed: their sizes and CRC-32."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BLOCK_BYTES = 2**20


def record(path: str | Path) -> dict[str, Any]:
    """The size and the CRC-32 of a file, for JSON."""
    return {"bytes": Path(path).stat().st_size, "crc32": _crc32(path)}


def size_change(path: str | Path, recorded: Mapping[str, Any]) -> str:
    """What differs in size from the record, for a message; empty where nothing does."""
    size = Path(path).stat().st_size
    return "" if size == recorded["bytes"] else f"has {size:,} bytes, but had {recorded['bytes']:,} when it was finished"


def change(path: str | Path, recorded: Mapping[str, Any]) -> str:
    """What differs from the record, as `size_change`, also in a single bit: the file is read, 3 GB a second."""
    return size_change(path, recorded) or ("" if _crc32(path) == recorded["crc32"] else "is not what was written: its checksum is another")


def _crc32(path: str | Path) -> str:
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK_BYTES):
            crc = zlib.crc32(block, crc)
    return f"{crc:08x}"
