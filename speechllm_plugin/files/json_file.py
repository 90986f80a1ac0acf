"""JSON objects in files that a command finds again: records, descriptions, scores."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechllm_plugin.text.one_line import excerpt


def read_object(path: str | Path, needed: Mapping[str, type | tuple[type, ...]], *, remedy: str) -> dict[str, Any]:
    """The object that a file holds.

    Args:
        needed: the keys that it must have, and the types of their values.
        remedy: what to do about a file that is damaged.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8 or not JSON, no object, or lacks a key, or a value is of another type.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: must be JSON, but is not ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must be a JSON object, but is {excerpt(content)}; {remedy}")
    check_object(path, content, needed, remedy=remedy)
    return content


def check_object(place: str | Path, content: Mapping[str, Any], needed: Mapping[str, type | tuple[type, ...]], *, remedy: str) -> None:
    """Raise ValueError unless an object that stands at a place has the keys, with values of the types."""
    for key, kinds in needed.items():
        value = content.get(key)
        if key not in content or not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            names = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
            raise ValueError(f"{place}: {key} must be of type {names}, but is {excerpt(value) if key in content else 'missing'}; {remedy}")
