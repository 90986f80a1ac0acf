"""Quality against latency, as a picture."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.scoring.metric import Metric
from speechllm_plugin.simultaneous.simulation import WHOLE
from speechllm_plugin.simultaneous.simulation_scores import Scores

MARKERS = "osD^vPX*"
LEAST_DISTANCE = 18  # pixels between two points that both have their number


def draw(path: Path, found: Sequence[Scores], metric: Metric) -> None:
    """A line for each model: a point, with its number, for each threshold; without and with the time of computing; dashed, decoding offline."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq lets the debugging messages of all libraries through
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    models = list(dict.fromkeys(each.model for each in found))
    panels, labelled = figure.subplots(1, 2, sharey=True), []
    for axes, (field, label) in zip(panels, (("laal_ms", "LAAL (s)"), ("laal_ca_ms", "LAAL (s), computing added"))):
        for number, model in enumerate(models):
            of_model = [each for each in found if each.model == model]
            points = [(getattr(each, field) / 1000, each.quality[metric.name], each.threshold) for each in of_model if each.threshold != WHOLE]
            colour = f"C{number % 10}"
            axes.plot(*zip(*((x, y) for x, y, _ in points)), marker=MARKERS[number % len(MARKERS)], color=colour, label=model)
            labelled.append((axes, colour, number % 2 == 1, points))
            for each in of_model:
                if each.threshold == WHOLE:
                    axes.axhline(each.quality[metric.name], color=colour, linestyle="--", linewidth=1, label=f"{model}, {WHOLE}")
        axes.set(xlabel=label)
        if metric.lower_is_better and all(each.quality[metric.name] > 0 for each in found):
            axes.set_yscale("log")  # errors of low thresholds are many times those of high ones
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("{x:g}")
        axes.margins(x=0.08, y=0.12)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"{metric.heading} ({'lower' if metric.lower_is_better else 'higher'} is better)")
    panels[0].legend(fontsize="small")
    figure.draw_without_rendering()  # where points lie is known from here on
    for axes, colour, is_odd, points in labelled:
        write_thresholds(axes, points, colour, below=is_odd == metric.lower_is_better, left=is_odd)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=80)


def write_thresholds(axes: Any, points: Sequence[tuple[float, float, Any]], colour: str, below: bool, left: bool) -> None:
    """Write the threshold beside each of the points (x, y, threshold) of a line, on one side of it; those close to the one before get none."""
    place = {"xytext": (-6 if left else 6, -5 if below else 5), "ha": "right" if left else "left", "va": "top" if below else "bottom"}
    before = None
    for x, y, threshold in points:
        here = axes.transData.transform((x, y))
        if before is None or np.abs(here - before).max() >= LEAST_DISTANCE:
            axes.annotate(str(threshold), (x, y), textcoords="offset points", color=colour, **place)
            before = here
