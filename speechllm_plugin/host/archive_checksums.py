"""The checksums of a checkpoint: torch writes one for every tensor, and does not look at them when it reads."""

import errno
import zipfile
from pathlib import Path


def check(path: str | Path) -> None:
    """Compare what a checkpoint holds with its checksums, a second for every 2 GB; one in torch's old format has none.

    Raises:
        ValueError: a bit of it changed since it was written.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    # NotImplementedError is zipfile's answer to a damaged number of a compression or a version.
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which a place outside the file gives
            raise
        damaged = f"its list of parts: {error}"
    if damaged:
        raise ValueError(f"{path}: is damaged: {damaged} is not what was written, its checksum is another; copy it again, or take another checkpoint")
