"""Trainings on several numbers of ranks as lines, and as a picture."""

import logging
from collections.abc import Sequence
from pathlib import Path

from speechllm_plugin.benchmarking.rank_training import RankMeasurement
from speechllm_plugin.benchmarking.training_measurement import GIBIBYTE
from speechllm_plugin.files import text_table
from speechllm_plugin.files.atomic import replacing

# heading, width, text of a RankMeasurement
SCALING_COLUMNS = [
    ("ranks", 5, lambda it: f"{it.num_ranks}"),
    ("a batch", 8, lambda it: f"{it.max_tokens:,}"),
    ("ms", 9, lambda it: f"{it.milliseconds:,.1f}"),
    ("frames/s", 11, lambda it: f"{it.frames_per_second:,.0f}"),
    ("of one", 7, lambda it: "" if it.ratio is None else f"{it.ratio:.2f} x"),
    ("a rank", 7, lambda it: "" if it.ratio is None else f"{100 * it.ratio / it.num_ranks:.0f} %"),
    ("captured", 8, lambda it: "" if it.capturing_updates is None else f"{it.capturing_updates}"),
    ("new", 4, lambda it: "" if it.launching_updates is None else f"{it.launching_updates}"),
    ("others", 7, lambda it: "" if it.replaying_ratio is None else f"{it.replaying_ratio:.2f} x"),
    ("wait", 7, lambda it: f"{it.wait_milliseconds:,.1f}"),
    ("sums", 7, lambda it: f"{it.communication_milliseconds:,.1f}"),
    ("of it", 6, lambda it: f"{100 * it.communication_share:.0f} %"),
    ("GiB", 6, lambda it: "" if it.peak_bytes is None else f"{it.peak_bytes / GIBIBYTE:.1f}"),
]
COLUMNS_WITHOUT_MEASUREMENT = 2
SETTING_WIDTH = 19
LEAST_MILLISECONDS = 0.05  # of a part of the rest that is named


def heading(name_width: int) -> str:
    return text_table.aligned_row(["model", "frames", *(title for title, _, _ in SCALING_COLUMNS)], _widths(name_width))


def line(measured: RankMeasurement, name_width: int) -> str:
    cells = [text(measured) for _, _, text in SCALING_COLUMNS[: COLUMNS_WITHOUT_MEASUREMENT if measured.error else None]]
    return text_table.aligned_row([measured.model, measured.setting, *cells, *([measured.error] if measured.error else [])], _widths(name_width))


def rest_line(measured: RankMeasurement) -> str:
    """What an update takes beyond its share of one rank's, and which kernels that is."""
    parts = "; ".join(f"{name} {milliseconds:+.1f}" for name, milliseconds in measured.rest.items() if abs(milliseconds) >= LEAST_MILLISECONDS)
    return f"  {sum(measured.rest.values()):+.1f} ms beside one rank with as much work" + (f": {parts}" if parts else "")


def _widths(name_width: int) -> list[int]:
    return [-name_width, -SETTING_WIDTH, *(width for _, width, _ in SCALING_COLUMNS)]


def draw(path: Path, measurements: Sequence[RankMeasurement]) -> None:
    """Frames a second of one against the number of ranks: a panel for each setting, a line for each model, and what would be in proportion."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq lets the debugging messages of all libraries through
    from matplotlib.figure import Figure

    settings = list(dict.fromkeys(each.setting for each in measurements))
    most = max(each.num_ranks for each in measurements)
    figure = Figure(figsize=(5.5 * len(settings), 4.5), layout="constrained")
    for axes, setting in zip(figure.subplots(1, len(settings), squeeze=False)[0], settings):
        axes.plot([1, most], [1, most], ":", color="grey", label="in proportion")
        for model in dict.fromkeys(each.model for each in measurements):
            points = [each for each in measurements if (each.model, each.setting) == (model, setting) and each.ratio is not None]
            axes.plot([each.num_ranks for each in points], [each.ratio for each in points], marker="o", label=model)
        axes.set(title=setting, xlabel="ranks", ylabel="frames a second / those of one rank", xlim=(0, None), ylim=(0, None))
        axes.set_xticks(sorted({each.num_ranks for each in measurements}))
        axes.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])
