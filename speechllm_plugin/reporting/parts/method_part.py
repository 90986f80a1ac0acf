"""How the numbers of a report were computed."""

from typing import NamedTuple

from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.results import LEVEL, Settings


class Method(NamedTuple):
    """settings: of the resampling; level: below which p is significant."""

    settings: Settings
    level: float


def method(settings: Settings) -> Content:
    return Content(numbers=Method(settings, LEVEL))
