"""The files of `speechllm score` that a table is made of: figures in one table come from one version of the normaliser."""

from collections.abc import Iterable, Mapping
from typing import Any

from speechllm_plugin.text.normalisation import normaliser_version

OUTDATED = "score again"  # in place of a figure
NOTE = f"{OUTDATED}: another version of the normaliser made this figure than those of the other rows; `speechllm score` makes it anew."


def newest_normaliser(reports: Iterable[Mapping[str, Any]]) -> int:
    """The latest version that any metric of any of these files was computed with; 0 where no text was normalised."""
    return max((_version(entry) for report in reports for entry in report["metrics"].values()), default=0)


def is_outdated(entry: Mapping[str, Any], newest: int) -> bool:
    """Whether the score of a metric is of an older normaliser than `newest`."""
    return 0 < _version(entry) < newest


def _version(entry: Mapping[str, Any]) -> int:
    return normaliser_version(entry.get("signature", ""))
