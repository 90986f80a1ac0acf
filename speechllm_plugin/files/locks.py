"""Locks of what a command writes, so that a second command notices the first and none mixes its files with another's.

The lock is the operating system's, on a hidden file: `.lock` in a folder, `.NAME.lock` beside a file. It ends with its process, however that
ends, and is not inherited by forked ones. It holds between machines that share a file system with locks, as NFS. The text in the file says
who has it.
"""

import contextlib
import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from speechllm_plugin.files.atomic import remove_partial

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def locked_folder(folder: str | Path, command: str) -> Iterator[None]:
    """A block in which this process alone writes into a folder; what a killed one left there of unfinished files is removed first.

    Folders are made where need be, and vanish at the end if nothing was written.

    Args:
        command: who has the lock, for the message of others.

    Raises:
        ValueError: another process has the lock.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    with _locked(folder / ".lock", folder, command):
        remove_partial(folder)
        yield


@contextlib.contextmanager
def locked_file(path: str | Path, command: str) -> Iterator[None]:
    """As `locked_folder`, for one file: others of its folder may be written meanwhile."""
    path = Path(path)
    with _locked(path.with_name(f".{path.name}.lock"), path, command):
        remove_partial(path.parent, path.name)
        yield


@contextlib.contextmanager
def _locked(lock: Path, place: Path, command: str) -> Iterator[None]:
    absent = [folder for folder in lock.parents if not folder.exists()]
    try:
        with _written(lock, place, command):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)  # while it is locked: whoever has it open notices that it is another file by now
    finally:
        for folder in absent:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


def _written(lock: Path, place: Path, command: str) -> BinaryIO:
    """The lock file, open and locked by this process, with what others are told of it."""
    try:
        file = _acquired(lock, place)
        file.truncate(0)
        file.write(f"{command}, process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
        file.flush()
        return file
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(place)) from error


def _acquired(lock: Path, place: Path) -> BinaryIO:
    """The lock file, open and locked by this process."""
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(lock, "a+b")  # noqa: SIM115  its owner closes it
        except FileNotFoundError:  # the folder was removed just now, as nothing was written there
            continue
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in NO_LOCKS:
                logger.warning(f"{place}: its file system has no locks ({error.strerror}), so start no other command that writes there")
                return file
            file.seek(0)
            with file:
                holder = file.read().decode(errors="replace") or "another process"
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            raise ValueError(f"{place}: is being written by {holder}; wait until that ends, or give another place") from error
        if _is_at(lock, file):
            return file
        file.close()  # its last owner removed it between the two steps


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
