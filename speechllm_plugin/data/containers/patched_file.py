"""A file of which another beginning is read."""

import io
import mmap

Data = bytes | mmap.mmap


class PatchedFile(io.RawIOBase):
    """An open file: `head`, and behind it the bytes `start` to `stop` of some data, which are not copied."""

    def __init__(self, head: bytes, data: Data, start: int, stop: int | None = None):
        self._head, self._data, self._start = head, data, start
        self._stop = len(data) if stop is None else stop
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        size = len(self._head) + self._stop - self._start
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: size}[whence]
        return self._position

    def readinto(self, buffer) -> int:
        # As many bytes as asked for wherever the file has them: libsndfile takes fewer for the end.
        head = self._head[self._position : self._position + len(buffer)]
        first = self._start + max(0, self._position - len(self._head))
        content = head + self._data[first : min(first + len(buffer) - len(head), self._stop)]
        memoryview(buffer).cast("B")[: len(content)] = content
        self._position += len(content)
        return len(content)
