"""Paths that fairseq gets beside others in one argument, as in --path ONE.pt:OTHER.pt."""

import os
from pathlib import Path


def check_one_path(flag: str, path: str | Path) -> None:
    """Raise ValueError for what fairseq would take for several paths, before the work whose result is to be there."""
    if os.pathsep in str(path):
        raise ValueError(f"{flag} must have no {os.pathsep!r}, which separates paths for fairseq, but is {path}: choose another name")
