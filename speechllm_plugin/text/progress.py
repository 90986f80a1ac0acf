"""Progress bars of commands."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

DELAY_SECONDS = 2


def with_progress(items: Iterable[Item], description: str, unit: str, total: int | None = None) -> Iterator[Item]:
    """The items, with a bar on stderr from DELAY_SECONDS on; without one if the environment has TQDM_DISABLE=1.

    Args:
        total: number of items, where they do not know it themselves.
    """
    yield from tqdm(items, desc=description, unit=unit, total=total, delay=DELAY_SECONDS)
