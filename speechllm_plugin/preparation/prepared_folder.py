"""The record of a prepared data folder: what is finished, for which options and input, so that a killed run can be completed."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from speechllm_plugin.files.digests import digest
from speechllm_plugin.files.remembered_options import FolderRecord
from speechllm_plugin.preparation.corpus_row import CorpusRow
from speechllm_plugin.text.progress import with_progress


def fingerprint(rows: Sequence[CorpusRow], root: str | Path) -> str:
    """A digest of the rows and of the sizes and times of their audio files."""

    def parts() -> Iterator[str]:
        for row in rows:
            yield repr((row.utterance, row.offset_seconds, row.duration_seconds))
        for path in with_progress(sorted({row.utterance.audio for row in rows}), "audio files", "file"):
            state = os.stat(os.path.join(root, path))
            yield f"{path} {state.st_size} {state.st_mtime_ns}"

    return digest(parts())


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
        remembered = self._file.read()
        if remembered is None:
            self._file.check_not_foreign(sorted(self.path.glob("*.tsv")))
        else:
            self._file.check_options(remembered["options"], options)
        self._record = remembered or {"options": options, "pieces": {}}

    def finished(self, piece: str, mark: str) -> dict[str, Any] | None:
        """The facts kept about a piece, or None where it has to be made: it is not finished, or was made from another input.

        mark: the fingerprint of the piece's input.
        """
        entry = self.entry(piece)
        if entry is None or entry["mark"] != mark or not all(self._exists(name) for name in entry["files"]):
            return None
        return entry["facts"]

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
        """Record a piece as finished; returns the facts."""
        self._record["pieces"][piece] = {"mark": mark, "files": files, "facts": facts}
        self._file.write(self._record)
        return facts

    def manifest(self, split: str) -> Path:
        """The manifest of a finished split, published or not."""
        name = f"{split}.tsv"
        return self.draft(name) if self.draft(name).exists() else self.path / name

    def draft(self, name: str) -> Path:
        """Where a manifest waits for publish()."""
        return self.path / f"{name}.draft"

    def publish(self, *names: str) -> None:
        """Give drafts their names."""
        for name in names:
            if self.draft(name).exists():
                os.replace(self.draft(name), self.path / name)

    def _exists(self, name: str) -> bool:
        return (self.path / name).exists() or self.draft(name).exists()
