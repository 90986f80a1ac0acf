"""Files that grow while a long job runs, so that a job that was killed goes on where it was.

What decides about their content stands in a description (JSON) beside them: a job with another description must not go on with them.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechllm_plugin.files.atomic import replacing


class GrowingFiles:
    """Files that are open at their ends.

    Args:
        sizes: path -> number of bytes to keep: the records that are complete in all files. What a killed job left behind them is cut off.
    """

    def __init__(self, sizes: Mapping[Path, int]):
        for path, size in sizes.items():
            os.truncate(path, size)
        self._files = {path: open(path, "ab") for path in sizes}  # noqa: SIM115  close() does

    def append(self, contents: Mapping[Path, bytes]) -> None:
        """Append to the files in the order given, so that what promises the rest comes last; on the disk when this returns."""
        for path, content in contents.items():
            file = self._files[path]
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def write_description(path: str | Path, description: Mapping[str, Any]) -> None:
    """Write a description in one move."""
    with replacing(path) as part:
        part.write_text(json.dumps(description, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def check_description(place: str | Path, begun: Mapping[str, Any], description: Mapping[str, Any], advice: str) -> None:
    """Check that files were begun with the same description.

    Args:
        place: the file or folder, for the message.
        begun: the description that stands beside the files.
        advice: what to do otherwise, for the message.

    Raises:
        ValueError: the descriptions differ.
    """
    for name in {**begun, **description}:
        if begun.get(name) != description.get(name):
            raise ValueError(f"{place}: was begun with {name} {begun.get(name)!r}, but now it is {description.get(name)!r}: {advice}")
