"""Time and memory against the length of the audio, as a picture."""

import logging
from importlib.util import find_spec
from pathlib import Path

from speechllm_plugin.benchmarking.measurement import Measurement
from speechllm_plugin.benchmarking.searches import WITH_CTC
from speechllm_plugin.files.atomic import replacing

SUFFIXES = (".png", ".pdf", ".svg")
# search -> style of its lines
STYLES = {"plugin": "-", WITH_CTC: ":", "fairseq": "--"}
PANELS = [
    ("milliseconds per sentence", lambda measured: 1000 / measured.sentences_per_second),
    ("MiB beside the weights", lambda measured: measured.peak_bytes / 2**20),
]


def check(path: Path) -> None:
    """Raise ValueError for a file that could not be drawn, before anything is measured."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"--plot must end with one of {', '.join(SUFFIXES)}, but is {path}")
    if find_spec("matplotlib") is None:
        raise ValueError("--plot needs matplotlib: pip install matplotlib, or this package with its extra `bench`")


def draw(path: Path, measurements: list[Measurement]) -> None:
    """A line for each model, beam and batch; solid is the plugin's search, dotted with CTC, dashed fairseq's.

    What ran out of memory has no point: its line ends before.
    """
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # fairseq lets the debugging messages of all libraries through
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    lines = {}
    for measured in measurements:
        if measured.error is None:
            lines.setdefault((measured.model, measured.beam, measured.batch, measured.search), []).append(measured)
    colours = {key[:3]: f"C{number % 10}" for number, key in enumerate(dict.fromkeys(key[:3] for key in lines))}
    for axes, (label, value) in zip(figure.subplots(1, len(PANELS)), PANELS):
        for (model, beam, batch, search), points in lines.items():
            points = sorted(points, key=lambda measured: measured.audio_seconds)
            axes.plot(
                [measured.audio_seconds for measured in points],
                [value(measured) for measured in points],
                STYLES[search],
                color=colours[model, beam, batch],
                marker=".",
                label=f"{model}, beam {beam}, batch {batch}, {search}",
            )
        axes.set(xlabel="seconds of audio", ylabel=label, yscale="log")
        axes.grid(alpha=0.3)
    if lines:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])
