"""Hot words: a file of words or phrases, one a line, which a search is to favour and a score is to count."""

import unicodedata
from pathlib import Path
from typing import NamedTuple


class HotWordList(NamedTuple):
    """The words of a file.

    words: in the order of the file, each once, in Unicode form NFKC, blanks single.
    num_blank, num_doubled: lines that were left out, as they were empty or had a word again.
    """

    path: Path
    words: tuple[str, ...]
    num_blank: int
    num_doubled: int

    def summary(self) -> str:
        """What was read, in one line."""
        left_out = [f"{number} {kind}" for number, kind in ((self.num_blank, "blank"), (self.num_doubled, "doubled")) if number]
        noun = "hot word" if len(self.words) == 1 else "hot words"
        return f"{self.path}: {len(self.words):,} {noun}" + (f"; lines left out: {', '.join(left_out)}" if left_out else "")


def read(path: str | Path) -> HotWordList:
    """The words of a file in UTF-8.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of hot words; give one with a word or phrase in each line")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: must be UTF-8, but is not ({error}); convert it, e.g. with iconv") from error
    written = [text for line in lines if (text := " ".join(unicodedata.normalize("NFKC", line).split()))]
    words = tuple(dict.fromkeys(written))
    return HotWordList(path, words, len(lines) - len(written), len(written) - len(words))
