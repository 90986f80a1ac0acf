"""Folders that remember the options they were made with, so that a command with other options does not mix its files with theirs."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from speechllm_plugin.files import json_file
from speechllm_plugin.files.atomic import replacing


class FolderRecord:
    """What a command of `speechllm` remembers in a folder that it makes, in the hidden file `.COMMAND.json`.

    Args:
        folder: the folder, made or not.
        command: the name of the command, as in `speechllm prepare`.
    """

    def __init__(self, folder: str | Path, command: str):
        self.folder, self.command = Path(folder), command
        self.path = self.folder / f".{command}.json"

    def read(self, needed: Mapping[str, type] = {}) -> dict[str, Any] | None:
        """What is remembered; None in a folder that the command did not begin.

        Args:
            needed: the keys that it must have, and their types.

        Raises:
            ValueError: the file is damaged.
        """
        remedy = f"delete {self.folder}, or choose another --out"
        return json_file.read_object(self.path, needed, remedy=remedy) if self.path.is_file() else None

    def write(self, content: Mapping[str, Any]) -> None:
        with replacing(self.path) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def check_options(self, made_with: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        """Check that the folder was made with the options of now.

        Args:
            made_with: the remembered options, by flag.
            options: those of now; flags that are not among them may differ.

        Raises:
            ValueError: a flag has another value.
        """
        for flag, value in options.items():
            if made_with.get(flag) != value:
                raise ValueError(
                    f"{flag} is {value}, but {self.folder} was made with {made_with.get(flag)}; choose another --out or delete that folder"
                )

    def check_not_foreign(self, manifests: Iterable[Path]) -> None:
        """Check a folder without a record: none of the manifests may exist, as the command would replace it.

        Raises:
            ValueError: one exists.
        """
        for path in manifests:
            if path.exists():
                raise ValueError(f"{path}: speechllm {self.command} did not make this manifest and would replace it; choose another --out")
