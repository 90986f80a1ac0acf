"""The scores of a report's systems with their intervals, as a picture for those who open no report."""

import logging
import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from speechllm_plugin.files.atomic import replacing

_SCORE, _INTERVAL = re.compile(r"\**(−?[\d.,]+)"), re.compile(r"\[(\S+), (\S+)\]")


class Score(NamedTuple):
    """Of one system by one metric, in the metric's own unit."""

    system: str
    score: float
    low: float
    high: float


def read(table: str) -> dict[str, list[Score]]:
    """Of each metric (`WER norm. ↓`) the scores in the order of a report's `scores.md`; those without an interval are left out.

    The table of two systems has a line for each metric and columns for both; that of more has a line for each system.
    """
    metrics: dict[str, list[Score]] = {}
    metric, headings = "", [""]
    for line in table.splitlines():
        cells = [cell.strip().replace("\\", "") for cell in line.split("|")[1:-1]]
        if cells[:1] == ["metric"]:
            headings = cells
        metric = (cells[0] if cells else "") or metric
        for place in range(1, len(cells) - 1):
            score, interval = _SCORE.match(cells[place]), _INTERVAL.fullmatch(cells[place + 1])
            name, is_score, _ = headings[place].rpartition("score") if place < len(headings) else ("", "", "")
            if score and interval and is_score:
                numbers = (float(number.replace(",", "").replace("−", "-")) for number in (score[1], *interval.groups()))
                metrics.setdefault(metric, []).append(Score(name.strip() or cells[1], *numbers))
    return metrics


def check(path: Path) -> dict[str, list[Score]]:
    """The scores of a `scores.md`; ValueError where they cannot be drawn."""
    if find_spec("matplotlib") is None:
        raise ValueError("pictures need matplotlib: pip install matplotlib, or give --no-pictures")
    found = read(path.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{path}: has no score with an interval to draw; make the report again, or give --no-pictures")
    return found


def draw(path: Path, found: dict[str, list[Score]], heading: str) -> None:
    """A panel for each metric, in it a point and its 95% interval for each system; of a metric with and without normalisation the one with."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq lets the debugging messages of all libraries through
    from matplotlib.figure import Figure

    metrics = {name: scores for name, scores in found.items() if name.replace(" ", " norm. ", 1) not in found}
    most = max(len(scores) for scores in metrics.values())
    figure = Figure(figsize=(11, 1.2 + 0.38 * most), layout="constrained")
    for axes, (name, scores) in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics.items()):
        for place, each in enumerate(scores):
            colour = f"C{place % 10}"
            axes.plot([each.low, each.high], [place, place], color=colour, linewidth=2)
            axes.plot([each.score], [place], "o", color=colour)
            axes.annotate(f"{each.score:.1f}", (each.score, place), xytext=(0, 5), textcoords="offset points", ha="center", fontsize="small")
        axes.set(
            title=name.replace("↓", "(less is better)").replace("↑", "(more is better)"), yticks=range(len(scores)), ylim=(len(scores) - 0.5, -0.7)
        )
        axes.set_yticklabels([each.system for each in scores])
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle(f"{heading}; lines are 95% intervals over utterances", fontsize="medium")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
