"""Splits of corpora that come without: lists in this repository of what is held out, all else being training."""

import functools
from collections.abc import Callable
from pathlib import Path

from speechllm_plugin.files import tsv_rows
from speechllm_plugin.preparation import splits

SPLIT_NAMES_OF_LISTS = ("train", "dev", "test")


def rule_of(corpus: str, split: str) -> Callable[[str], str]:
    """The split of a level, a stamp ... of a corpus, by its name.

    Raises:
        ValueError: there is no such split.
    """
    if split not in SPLIT_NAMES_OF_LISTS:
        raise ValueError(f"--splits must be of {' '.join(SPLIT_NAMES_OF_LISTS)} for {corpus}, but has {split}")
    held_out = _held_out(corpus)
    return lambda name: held_out.get(name, "train")


@functools.cache
def _held_out(corpus: str) -> dict[str, str]:
    path = Path(splits.__path__[0]) / f"{corpus}.tsv"
    return {row["name"]: row["split"] for _, row in tsv_rows.rows(path, ["name", "split"], absent="no such list; install the package again")}
