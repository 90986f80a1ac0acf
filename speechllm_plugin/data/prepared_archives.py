"""The archives of features that `speechllm prepare` recorded: whether they are as long as it made them."""

from pathlib import Path

from speechllm_plugin.files import recorded_files
from speechllm_plugin.files.remembered_options import FolderRecord


def check_sizes(folder: str | Path | None, manifest_name: str) -> None:
    """Check the archives of a manifest's split; a folder without a record, or an archive that is not there (yet), is not looked at.

    Args:
        folder: of the archives.
        manifest_name: file name of a manifest of it, or of a folder that was distilled from it.

    Raises:
        ValueError: one is shorter or longer than it was.
    """
    record = FolderRecord(folder, "prepare").read() if folder is not None else None
    for piece in (record or {}).get("pieces", {}).values():
        contents = piece.get("contents", {})
        for name in [name for name in contents if name.endswith(".zip") and manifest_name in piece["files"]]:
            path = Path(folder or "", name)
            change = recorded_files.size_change(path, contents[name]) if path.is_file() else ""
            if change:
                raise ValueError(f"{path}: {change}: prepare the data again, by the same command")
