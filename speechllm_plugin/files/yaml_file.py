"""YAML as data: the one place where the package reads it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from speechllm_plugin.text.one_line import excerpt

# The loader makes plain values only; in C, as the segments of MuST-C take seconds there, and minutes in Python.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TextLoader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
MOST_DEEP = 50  # collections in each other; the loader itself kills the process at some 10,000
TOO_DEEP = f"more than {MOST_DEEP} collections in each other"
MOST_BY_ALIASES = 10_000  # values that aliases (*name) stand for


def read(path: str | Path, *, absent: str, remedy: str = "correct the file", as_text: bool = False) -> Any:
    """The value that a file holds; None if it is empty.

    Args:
        absent: the message where there is no such file, without its path: what is missing, and what to do.
        remedy: what to do about a file that is not YAML.
        as_text: every value that is no list or mapping is the text that stands there: 007 is not 7, and no is not False.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8 or no YAML, has a key twice in one mapping, is nested deeply, or its aliases stand for a flood of values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {absent}")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8, but is not ({error}); convert it, e.g. with iconv") from error
    try:
        problem = _problem(yaml.parse(text, Loader=_Loader))
        value = None if problem else yaml.load(text, Loader=_TextLoader if as_text else _Loader)
    except Exception as error:  # not only YAMLError: a constructor raises what Python raises for its text, as of a date in month 13
        problem, mark = " ".join(str(error).split()) or type(error).__name__, getattr(error, "problem_mark", None)
        if mark and "maximum nesting depth" in problem:  # from PyYAML 6.0.4 on, as its C code reads ahead of what it tells
            problem = f"line {mark.line + 1}: {TOO_DEEP}"
    if problem:
        raise ValueError(f"{path}: not readable as YAML ({problem}); {remedy}")
    return value


class _Collection:
    """A list or mapping whose end was not seen yet. keys: of a mapping."""

    def __init__(self, event: Any):
        self.anchor, self.size = event.anchor, 1
        self.keys: set[str] | None = set() if isinstance(event, yaml.MappingStartEvent) else None
        self.is_key_next = self.keys is not None

    def doubled_key(self, event: Any) -> str | None:
        """The key that this event is, if the mapping has it already."""
        if self.keys is None:
            return None
        self.is_key_next = not self.is_key_next
        if self.is_key_next or not isinstance(event, yaml.ScalarEvent):
            return None
        doubled = event.value in self.keys
        self.keys.add(event.value)
        return event.value if doubled else None


def _problem(events: Iterable[Any]) -> str | None:
    """What would kill the loader, fill the memory, or be dropped in silence; found without building anything."""
    document = _Document()
    for event in events:
        problem = document.add(event)
        if problem:
            return f"line {event.start_mark.line + 1}: {problem}"
    return None


class _Document:
    """The part of a document that was seen so far."""

    def __init__(self) -> None:
        self.around: list[_Collection] = []
        self.size_of: dict[str, int] = {}  # what each anchor stands for
        self.num_by_aliases = 0

    def add(self, event: Any) -> str | None:
        """What is wrong with the next event."""
        if isinstance(event, yaml.CollectionEndEvent):
            ended = self.around.pop()
            self._add_values(ended.anchor, ended.size)
        elif isinstance(event, yaml.NodeEvent):
            if self.around and (key := self.around[-1].doubled_key(event)) is not None:
                return f"each key must stand once, but {excerpt(key)} stands twice"
            if isinstance(event, yaml.CollectionStartEvent):
                self.around.append(_Collection(event))
                return TOO_DEEP if len(self.around) > MOST_DEEP else None
            if isinstance(event, yaml.AliasEvent):
                return self._add_alias(str(event.anchor))
            self._add_values(event.anchor, 1)
        return None

    def _add_values(self, anchor: str | None, number: int) -> None:
        if anchor is not None:
            self.size_of[anchor] = number
        if self.around:
            self.around[-1].size += number

    def _add_alias(self, anchor: str) -> str | None:
        if anchor not in self.size_of:
            return f"the alias *{anchor} stands for nothing, or for what it is part of"
        self.num_by_aliases += self.size_of[anchor]
        self._add_values(None, self.size_of[anchor])
        return f"aliases (*{anchor}) stand for more than {MOST_BY_ALIASES:,} values" if self.num_by_aliases > MOST_BY_ALIASES else None
