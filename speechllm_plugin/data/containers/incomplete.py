"""The errors of a file with less sound than it promises, or none. Whoever knows the file's name puts it in front."""


class EmptySound(ValueError):
    """A file without any sound."""


def cut_short(why: str) -> ValueError:
    """The error to raise for a file that lacks its end."""
    return ValueError(f"the file is cut short: {why}; replace the file")
