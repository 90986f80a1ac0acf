"""The arguments of a recipe: `--option value`, flags, and words between them; after `--` nothing is read."""

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple


class Arguments(NamedTuple):
    """The words of a command line by what they are.

    given: the options with their values, in their order.
    flags: the options without a value.
    positional: the words that belong to no option.
    after_dashes: the words after `--`.
    """

    given: list[tuple[str, str]]
    flags: set[str]
    positional: list[str]
    after_dashes: list[str]

    def last(self, option: str, default: str) -> str:
        """The value of an option: of several the last one counts."""
        return next((value for name, value in reversed(self.given) if name == option), default)

    def pairs(self, options: Collection[str]) -> list[str]:
        """Some of the options with their values, as they were given, to be passed on."""
        return [word for name, value in self.given if name in options for word in (name, value)]


def read(arguments: Sequence[str], options: Collection[str], flags: Collection[str]) -> Arguments:
    """What was given of these options and flags.

    Raises:
        ValueError: an option is none of these or lacks its value.
    """
    read_arguments, waiting = Arguments([], set(), [], []), list(arguments)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            read_arguments.after_dashes.extend(waiting)
            break
        if word in flags:
            read_arguments.flags.add(word)
        elif word in options:
            if not waiting:
                raise ValueError(f"{word} needs a value")
            read_arguments.given.append((word, waiting.pop(0)))
        elif word.startswith("-"):
            raise ValueError(f"unknown option {word}")
        else:
            read_arguments.positional.append(word)
    return read_arguments


def without(arguments: Sequence[str], option: str) -> list[str]:
    """The arguments without an option and its value."""
    place = arguments.index(option)
    return [*arguments[:place], *arguments[place + 2 :]]


@contextmanager
def usage_errors(recipe: str) -> Iterator[None]:
    """A block that reads the arguments of a recipe: its errors are one line that names the help, and end with status 2."""
    try:
        yield
    except (ValueError, OSError) as error:
        print(f"{recipe}: error: {error}; `bash recipes/{recipe} --help` describes the arguments", file=sys.stderr)
        sys.exit(2)
