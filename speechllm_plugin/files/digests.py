"""Digests: hexadecimal digits that tell contents apart.

They are stored in data folders, caches and reports. Another digest of the same content would make all of that work be done again.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SHORT_BYTES = 8


def digest(parts: Iterable[str | bytes]) -> str:
    """64 digits (SHA-256) of parts as if they were one; texts count as UTF-8."""
    return _of_parts(hashlib.sha256(), parts)


def short_digest(parts: Iterable[str | bytes]) -> str:
    """16 digits (BLAKE2b): for many of them in one file, or for a name."""
    return _of_parts(hashlib.blake2b(digest_size=SHORT_BYTES), parts)


def file_digest(path: str | Path) -> str:
    """64 digits of a file's content, equal to `digest` of it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_file_digest(path: str | Path) -> str:
    """16 digits of a file's content, equal to `short_digest` of it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=SHORT_BYTES)).hexdigest()


def _of_parts(state: Any, parts: Iterable[str | bytes]) -> str:
    for part in parts:
        state.update(part.encode() if isinstance(part, str) else part)
    return state.hexdigest()
