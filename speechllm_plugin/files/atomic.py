"""Files that are either complete or not there."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well and vanishes when it does not.

    Folders on the way are made. A killed process leaves at most a hidden `.NAME.PID.tmp`, never a partial `path`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename in (str(temporary), temporary):
            raise type(error)(error.errno, error.strerror, str(path)) from error  # what the caller has heard of
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(flag: str, path: str | Path) -> None:
    """Raise ValueError for a file that `replacing` could not write, before the work whose result it is to hold."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{flag} must be a file, but {path} is a folder: add a name")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{flag} {path} cannot be written: {folder} is no folder, or not writable; give another place")
