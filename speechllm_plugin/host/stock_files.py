"""What the fairseq commands write and read again: checkpoints and hypotheses that are complete or not there, and are what was written.

fairseq copies a checkpoint to its second name byte by byte (a kill meanwhile leaves a `checkpoint_last.pt` that cannot be read), leaves
`checkpoint_last.pt.tmp` behind, tries a full disk three times, and fills `generate-SPLIT.txt` while it decodes.
"""

import contextlib
import functools
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from speechllm_plugin.host import archive_checksums, stock_command

Replacing = Callable[[str], contextlib.AbstractContextManager[Path]]
Locked = Callable[[str, str], contextlib.AbstractContextManager[None]]


def write_whole(save: Callable[[Any, str], None], replacing: Replacing, locked: Locked) -> None:
    """Let fairseq write files by these functions of `files`, which this room cannot import."""
    from fairseq import checkpoint_utils
    from fairseq.file_io import PathManager

    saved, copied, loaded = checkpoint_utils.torch_persistent_save, PathManager.copy, checkpoint_utils.load_checkpoint_to_cpu

    @functools.wraps(loaded)
    def load_checkpoint_to_cpu(path: str, *arguments: Any, **options: Any) -> Any:
        archive_checksums.check(path)
        return loaded(path, *arguments, **options)

    def torch_persistent_save(state: Any, filename: str, async_write: bool = False) -> None:
        if async_write or PathManager.path_requires_pathmanager(filename):  # iopath's, e.g. of a bucket
            saved(state, filename, async_write)
        else:
            save(state, filename)

    def copy(src_path: str, dst_path: str, overwrite: bool = False) -> Any:
        if PathManager.path_requires_pathmanager(src_path) or PathManager.path_requires_pathmanager(dst_path):
            return copied(src_path, dst_path, overwrite)
        with replacing(dst_path) as part:
            return shutil.copyfile(src_path, part)

    checkpoint_utils.load_checkpoint_to_cpu = load_checkpoint_to_cpu
    checkpoint_utils.torch_persistent_save = torch_persistent_save
    PathManager.copy = staticmethod(copy)
    _decode_into(replacing, locked)


def _decode_into(replacing: Replacing, locked: Locked) -> None:
    """Let the file of fairseq-generate's --results-path appear when decoding has ended: an `open` of its own for the module that opens it."""

    @contextlib.contextmanager
    def opened(path: str, *arguments: Any, **options: Any) -> Iterator[IO[str]]:
        with locked(path, stock_command.name()), replacing(path) as part, open(part, *arguments, **options) as file:
            yield file

    if stock_command.name() == "fairseq-generate":
        for module in ("fairseq_cli.generate", "__main__"):  # as installed, and by python -m
            if module in sys.modules:
                sys.modules[module].open = opened  # type: ignore[attr-defined]
