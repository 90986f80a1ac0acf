"""Files that are either complete or not there."""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

# What writing raises without a name: the disk or the quota is full, the file may not be larger, the device fails.
NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

_PARTIAL = re.compile(r"\.(?P<name>.+)\.\d+(-[0-9a-f]{8})?\.tmp")


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well and vanishes when it does not.

    Folders on the way are made. A killed process leaves at most a hidden `.NAME.PID-RANDOM.tmp`, never a partial `path`.

    Raises:
        OSError: it cannot be written; its `filename` is `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (str(temporary), temporary) or (error.filename is None and error.errno in NOT_WRITTEN):
            raise type(error)(error.errno, error.strerror, str(path)) from error  # what the caller has heard of
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_partial(folder: str | Path, name: str | None = None) -> None:
    """Remove what killed processes left of a file, or of all files of a folder, in which nothing writes now."""
    for path in Path(folder).iterdir():
        match = _PARTIAL.fullmatch(path.name)
        if match and name in (None, match["name"]) and path.is_file():
            path.unlink(missing_ok=True)


def check_writable(flag: str, path: str | Path) -> None:
    """Raise ValueError for a file that `replacing` could not write, before the work whose result it is to hold."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{flag} must be a file, but {path} is a folder: add a name")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{flag} {path} cannot be written: {folder} is no folder, or not writable; give another place")
