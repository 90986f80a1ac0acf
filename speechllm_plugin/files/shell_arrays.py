"""Model and training files: arrays that a shell can source, read here as data. Nothing in them is ever run."""

import re
from pathlib import Path

Value = str | list[str] | dict[str, str]

ACCEPTED = 'comments, NAME=word, NAME=(words), NAME+=(words), ([key]=word), quotes and source "$(dirname "${BASH_SOURCE[0]}")/FILE"'

_BLANK = r"(?P<blank>(?:[ \t\n]|\\\n|\#[^\n]*)+)"
# What stands for itself in a shell: no expansion, no pattern, no operator.
_WORD = r"""(?:[\w@%+=:,./-]|(?<=[\w@%+=:,./-])\#|'[^']*'|"[^"$`\\]*")+"""
_END = r"(?=[ \t\n]|\Z)"
_END_OF_ELEMENT = r"(?=[ \t\n)\\]|\Z)"
_STATEMENT = re.compile(
    rf'{_BLANK}|source\ "\$\(dirname\ "\$\{{BASH_SOURCE\[0\]\}}"\)/(?P<file>[^"$`\\\n]+)"{_END}'
    rf"|(?P<array>[A-Za-z_]\w*)(?P<plus>\+?)=\(|(?P<name>[A-Za-z_]\w*)=(?P<word>(?:{_WORD})?){_END}"
)
_ELEMENT = re.compile(rf"{_BLANK}|(?:\[(?P<key>[\w.-]+)\]=)?(?P<word>{_WORD}){_END_OF_ELEMENT}|(?P<close>\)){_END}")
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")


def read(path: Path | str) -> dict[str, Value]:
    """The variables that a file sets, as a shell would set them that sources it.

    NAME=word is a string, NAME=(words) a list of strings, NAME=([key]=word ...) a dictionary.

    Raises:
        FileNotFoundError: the file, or one that it sources, does not exist.
        ValueError: it is not UTF-8, or holds something else than ACCEPTED: the message names file, line and what that is.
    """
    variables: dict[str, Value] = {}
    _source(Path(path), variables, ())
    return variables


def _source(path: Path, variables: dict[str, Value], sourced_by: tuple[Path, ...]) -> None:
    if path.resolve() in sourced_by:
        raise ValueError(f"{path}: sources itself; remove that line")
    try:
        text = path.read_bytes().decode("utf-8")  # a carriage return is no end of a line to a shell
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8, but is not ({error})") from error
    position = 0
    while position < len(text):
        match = _STATEMENT.match(text, position)
        if match is None:
            raise ValueError(_refusal(path, text, position))
        position = match.end()
        if match["file"]:
            if not (path.parent / match["file"]).is_file():
                raise FileNotFoundError(f"{path}:{_line_number(text, match.start())}: there is no {path.parent / match['file']} to source")
            _source(path.parent / match["file"], variables, (*sourced_by, path.resolve()))
        elif match["array"]:
            value, position = _elements(path, text, position)
            if match["plus"] and match["array"] in variables:
                before = variables[match["array"]]
                if isinstance(before, list) and isinstance(value, list):
                    value = before + value
                elif isinstance(before, dict) and isinstance(value, dict):
                    value = before | value
                else:
                    raise ValueError(_refusal(path, text, match.start(), f"{match['array']}+= of another kind of value"))
            variables[match["array"]] = value
        elif match["name"]:
            variables[match["name"]] = _unquoted(match["word"])


def _elements(path: Path, text: str, start: int) -> tuple[list[str] | dict[str, str], int]:
    """The words of an array, by their keys if they have any, and the position after the array."""
    words: list[str] = []
    by_key: dict[str, str] = {}
    position = start
    while match := _ELEMENT.match(text, position):
        if match["word"] and (by_key if match["key"] is None else words):
            raise ValueError(_refusal(path, text, position, f"{match[0]} in an array of which only some words have a key"))
        position = match.end()
        if match["close"]:
            return by_key or words, position
        if match["key"]:
            by_key[match["key"]] = _unquoted(match["word"])
        elif match["word"]:
            words.append(_unquoted(match["word"]))
    if position == len(text):
        raise ValueError(_refusal(path, text, start, "an array without its closing parenthesis"))
    raise ValueError(_refusal(path, text, position))


def _unquoted(word: str) -> str:
    return _QUOTED.sub(lambda quoted: quoted[2] if quoted[1] is None else quoted[1], word)


def _line_number(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _refusal(path: Path, text: str, position: int, what: str | None = None) -> str:
    what = what or repr(text[position:].split("\n", 1)[0].strip()[:60])
    return f"{path}:{_line_number(text, position)}: {what} is not accepted: the file is read, not run, and may hold only {ACCEPTED}"
