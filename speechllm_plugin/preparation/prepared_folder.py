"""The record of a prepared data folder: what is finished, for which options and input, so that a killed run can be completed."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechllm_plugin.files import recorded_files
from speechllm_plugin.files.digests import digest
from speechllm_plugin.files.remembered_options import FolderRecord
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.text.one_line import excerpt
from speechllm_plugin.text.progress import with_progress

logger = logging.getLogger(__name__)


TYPES_OF_ENTRIES = {"mark": str, "files": list, "facts": dict}


def fingerprint(rows: Sequence[CorpusRow], root: str | Path) -> str:
    """A digest of the rows and of the sizes and times of their audio files."""

    def parts() -> Iterator[str]:
        for row in rows:
            yield repr((row.utterance, row.offset_seconds, row.duration_seconds))
        for path in with_progress(sorted({row.utterance.audio for row in rows}), "audio files", "file"):
            state = os.stat(os.path.join(root, path))
            yield f"{path} {state.st_size} {state.st_mtime_ns}"

    return digest(parts())


def _check_pieces(path: Path, pieces: Mapping[str, Any]) -> None:
    for name, entry in pieces.items():
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), kind) for key, kind in TYPES_OF_ENTRIES.items()):
            raise ValueError(
                f"{path}: {name} must have {', '.join(TYPES_OF_ENTRIES)}, but is {excerpt(entry)}; delete {path.parent}, or choose another --out"
            )


class PreparedFolder:
    """A data folder in the making and its record (.prepare.json).

    The folder is made of pieces (splits, vocabularies). Manifests stay drafts until publish() names them all, last of
    everything: a folder that has its manifests is complete.
    """

    def __init__(self, path: str | Path, options: dict[str, Any]):
        """Open a folder, made or not; options are the values of command-line flags, by flag. Nothing is written yet.

        Raises:
            ValueError: the folder was made with other options, or not by this command.
        """
        self.path = Path(path)
        self._file = FolderRecord(path, "prepare")
        remembered = self._file.read({"options": dict, "pieces": dict})
        if remembered is None:
            self._file.check_not_foreign(sorted(self.path.glob("*.tsv")))
        else:
            _check_pieces(self._file.path, remembered["pieces"])
            self._file.check_options(remembered["options"], options)
        self._record = remembered or {"options": options, "pieces": {}}

    def finished(self, piece: str, mark: str) -> dict[str, Any] | None:
        """The facts kept about a piece, or None where it has to be made: it is not finished, was made from another input, or lost a file.

        mark: the fingerprint of the piece's input.

        Raises:
            ValueError: a manifest is not as it was written. Somebody may have edited it, so it is not replaced.
        """
        entry = self.entry(piece)
        if entry is None or entry["mark"] != mark:
            return None
        changes = {name: self._change(name, entry) for name in entry["files"]}
        for name, change in changes.items():
            if change and name.endswith(".tsv") and self._path(name).exists():
                raise ValueError(f"{self._path(name)}: {change}; remove it to have it made again, or give another --out")
        for name, change in changes.items():
            if change:
                logger.warning(f"{self.path / name}: {change}; it is made again")
        return None if any(changes.values()) else entry["facts"]

    def require_same(self, flag: str, made_with: Any, value: Any) -> None:
        """Raise ValueError if the folder was made with another value of a flag."""
        self._file.check_options({flag: made_with}, {flag: value})

    def entry(self, piece: str) -> dict[str, Any] | None:
        """The mark and the facts of a piece, whatever input it was made from; None if it is not finished."""
        return self._record["pieces"].get(piece)

    def withdraw(self, piece: str, *files: str) -> None:
        """Forget a piece and delete its files, before it is made again."""
        self._record["pieces"].pop(piece, None)
        self._file.write(self._record)
        for name in files:
            for path in (self.path / name, self.draft(name)):
                path.unlink(missing_ok=True)

    def finish(self, piece: str, mark: str, *files: str, **facts: Any) -> dict[str, Any]:
        """Record a piece as finished, with the sizes and checksums of its files; returns the facts."""
        contents = {name: recorded_files.record(self._path(name)) for name in files}
        self._record["pieces"][piece] = {"mark": mark, "files": files, "contents": contents, "facts": facts}
        self._file.write(self._record)
        return facts

    def manifest(self, split: str) -> Path:
        """The manifest of a finished split, published or not."""
        return self._path(f"{split}.tsv")

    def draft(self, name: str) -> Path:
        """Where a manifest waits for publish()."""
        return self.path / f"{name}.draft"

    def publish(self, *names: str) -> None:
        """Give drafts their names."""
        for name in names:
            if self.draft(name).exists():
                os.replace(self.draft(name), self.path / name)

    def _path(self, name: str) -> Path:
        """Where a file is: a manifest may be a draft."""
        return self.draft(name) if self.draft(name).exists() else self.path / name

    def _change(self, name: str, entry: dict[str, Any]) -> str:
        """What happened to a file of a finished piece; of folders without checksums only that it is gone is known."""
        if not self._path(name).exists():
            return "is gone"
        recorded = entry.get("contents", {}).get(name)
        return recorded_files.change(self._path(name), recorded) if recorded else ""
