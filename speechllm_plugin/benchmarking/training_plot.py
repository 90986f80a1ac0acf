"""What an update is made of, as a picture: a bar for each training."""

import logging
from collections.abc import Sequence
from pathlib import Path

from speechllm_plugin.benchmarking.training_measurement import TrainingMeasurement
from speechllm_plugin.files.atomic import replacing

# part of a bar -> its milliseconds in a TrainingMeasurement; what the trainer adds beside the others can be less than nothing
BAR_PARTS = {
    "forward": lambda it: it.forward_milliseconds,
    "backward": lambda it: it.model_milliseconds - it.forward_milliseconds,
    "optimizer": lambda it: it.optimizer_milliseconds,
    "between updates": lambda it: it.wait_milliseconds,
    "trainer": lambda it: max(0.0, it.milliseconds - it.model_milliseconds - it.optimizer_milliseconds - it.wait_milliseconds),
}


def draw(path: Path, measurements: Sequence[TrainingMeasurement], frames: int) -> None:
    """Bars from top to bottom, in the order of the measurements; a line on each marks the whole update. What ran out of memory has none."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq lets the debugging messages of all libraries through
    from matplotlib.figure import Figure

    measured = [each for each in measurements if each.error is None]
    figure = Figure(figsize=(10, 1.5 + 0.45 * len(measured)), layout="constrained")
    axes = figure.subplots()
    places, left = range(len(measured)), [0.0] * len(measured)
    for part, milliseconds in BAR_PARTS.items():
        widths = [milliseconds(each) for each in measured]
        axes.barh(places, widths, left=left, label=part)
        left = [start + width for start, width in zip(left, widths)]
    whole = [each.milliseconds for each in measured]
    axes.scatter(whole, places, marker="|", s=300, color="black", label="whole update", zorder=3)
    axes.set_yticks(places, [f"{each.model}, {each.trained}" for each in measured])
    axes.invert_yaxis()
    axes.set(xlabel=f"milliseconds per {frames:,} frames", xlim=(0, None))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(BAR_PARTS) + 1, fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])
