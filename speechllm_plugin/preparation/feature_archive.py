"""Archives of features, which data/features.py and fairseq read."""

import contextlib
import io
import os
import zipfile
from types import TracebackType
from typing import Self

import numpy as np

from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.files.digests import short_digest

ZIP_LOCAL_HEADER = 30  # bytes before a member's name
MOST_NAME_BYTES = 1000
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the same features make the same archive


class FeatureArchive:
    """Writes features into an uncompressed zip, in which fairseq and `features.read` find them by offset and length.

    The file appears under its name when the block ends without an error, complete.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = os.fspath(path)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._open:
            part = self._open.enter_context(replacing(self.path))
            self._zip = self._open.enter_context(zipfile.ZipFile(part, "w", zipfile.ZIP_STORED))
            self._open = self._open.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.__exit__(kind, error, trace)

    def add(self, name: str, features: np.ndarray) -> str:
        """Store (T, C) features; returns the `audio` value: `archive.zip:byte_offset:num_bytes`, archive without its folder."""
        member = zipfile.ZipInfo(f"{_inside(name)}.npy", ZIP_DATE)
        content = io.BytesIO()
        np.save(content, features, allow_pickle=False)
        self._zip.writestr(member, content.getbuffer())
        offset = member.header_offset + ZIP_LOCAL_HEADER + len(member.filename.encode()) + len(member.extra)
        return f"{os.path.basename(self.path)}:{offset}:{member.file_size}"


def _inside(name: str) -> str:
    """A name that stays in the folder where somebody unpacks the archive, and fits its header; rows find members by their offset."""
    parts = name.replace("\\", "/").split("/")
    is_safe = not {"", ".", ".."} & set(parts) and ":" not in parts[0] and name.isprintable() and len(name.encode()) <= MOST_NAME_BYTES
    return name if is_safe else short_digest([name])
