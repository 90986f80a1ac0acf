"""The lines and histograms of a report."""

from collections.abc import Sequence

import numpy as np

from speechllm_plugin.outputs.logs import QUANTITIES, TRAIN
from speechllm_plugin.reporting.figures.palette import LOOKS, described
from speechllm_plugin.reporting.figures.svg import Chart, draw
from speechllm_plugin.reporting.study import System
from speechllm_plugin.reporting.tables.formats import number, shortened
from speechllm_plugin.scoring.significance import Interval

HEIGHT = 230
MOST_MARKERS = 8  # on a line
NUM_HISTOGRAM_BINS = 24
WIDEST_NAME, WIDEST_TOKEN = 22, 16  # characters of a legend and of an axis
WIDEST_NAME_OF_CURVE = 14  # what the curve is of follows it


def training_curves(systems: Sequence[System]) -> list[Chart]:
    """A Chart for each of the losses that fairseq logged: training dashed, validation solid; further seeds are thin lines."""
    return [_training_curve(systems, quantity, title) for quantity, title in QUANTITIES.items() if _curves(systems, quantity)]


def _training_curve(systems, quantity, title):
    curves = _curves(systems, quantity)
    has_both = len({subset for _, subset, *_ in curves}) > 1

    def name(system, subset):
        if not has_both:
            return shortened(systems[system].name, WIDEST_NAME)
        return f"{shortened(systems[system].name, WIDEST_NAME_OF_CURVE)}, {'training' if subset == TRAIN else subset}"

    def plot(axes):
        for system, subset, seed, curve in curves:
            look, is_first, is_train = LOOKS[system], seed == 0, subset == TRAIN
            axes.plot(
                curve.updates,
                curve.values,
                "--" if is_train else "-",
                color=look.colour,
                marker=None if is_train or not is_first else look.marker,
                markevery=max(1, len(curve.updates) // MOST_MARKERS),
                linewidth=(1.1 if is_train else 1.8) if is_first else 0.7,
                alpha=1 if is_first else 0.6,
                label=name(system, subset) if is_first else None,
            )
        axes.set_xlabel("Updates")
        axes.set_ylabel(f"{title} (base 2)")
        axes.xaxis.set_major_locator(_few_ticks())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        _legend(axes)

    ends = "; ".join(f"{systems[system].name} on {subset} ends at {number(curve.values[-1])}" for system, subset, seed, curve in curves if seed == 0)
    drawn = sorted({system for system, *_ in curves})
    drawn = described([systems[system].name for system in drawn], [LOOKS[system] for system in drawn])
    return draw(title, f"{title} by number of updates, {drawn}: {ends}.", HEIGHT, plot)


def _curves(systems, quantity):
    """(number of the system, subset, number of the seed, Curve), validation last, so that it lies above."""
    found = []
    for number_of_system, system in enumerate(systems):
        for seed, run in enumerate(system.runs):
            for (subset, name), curve in (run.training.curves if run.training else {}).items():
                if name == quantity and subset in (TRAIN, run.training.validation_subset):
                    found.append((number_of_system, subset, seed, curve))
    return sorted(found, key=lambda each: (each[1] != TRAIN, each[2] == 0))


def score_by_duration(names: Sequence[str], heading: str, seconds: Sequence[float], intervals: Sequence[Sequence[Interval]]) -> Chart:
    """Points with intervals at the mean duration of each bin, those of different systems a little apart.

    Args:
        seconds:   of each bin, from short to long.
        intervals: of each bin, of each system.
    """
    apart = (seconds[-1] - seconds[0]) / 90 if len(seconds) > 1 else 0.05

    def plot(axes):
        for system, (name, look) in enumerate(zip(names, LOOKS)):
            x = np.array(seconds) + apart * (system - (len(names) - 1) / 2)
            score, low, high = np.array([of_bin[system][:3] for of_bin in intervals]).T
            reach = np.clip([score - low, high - score], 0, None)
            label = shortened(name, WIDEST_NAME)
            axes.errorbar(x, score, reach, color=look.colour, marker=look.marker, linewidth=1.4, elinewidth=1, capsize=2, label=label)
        axes.set_xlabel("Seconds, mean of the bin")
        axes.set_ylabel(heading)
        _legend(axes)

    first, last = ([number(interval.score, 1) for interval in of_bin] for of_bin in (intervals[0], intervals[-1]))
    ends = "; ".join(f"{name} {low} and {high}" for name, low, high in zip(names, first, last))
    description = f"{heading} by duration, {described(names)}. In the shortest and the longest bin: {ends}. All numbers stand in the table."
    return draw(f"{heading} by duration", description, HEIGHT, plot)


def durations(seconds: np.ndarray) -> Chart:
    """A histogram of the utterances' durations. seconds: (N,)."""

    def plot(axes):
        axes.hist(seconds, bins=NUM_HISTOGRAM_BINS, color="#b9c0c9", edgecolor="white", linewidth=0.6)
        axes.set_xlabel("Seconds")
        axes.set_ylabel("Utterances")

    low, median, high = (number(float(value), 1) for value in np.quantile(seconds, (0, 0.5, 1)))
    description = f"Histogram of {len(seconds):,} durations from {low} to {high} s, median {median} s."
    return draw("Durations of the test set", description, HEIGHT, plot)


def compression_rates(rates: dict[str, np.ndarray], looks: Sequence) -> Chart:
    """A histogram of each system's rates, as an outline so that all stay visible. rates: system -> (N,)."""
    everything = np.concatenate(list(rates.values()))
    edges = np.linspace(everything.min(), max(everything.max(), everything.min() + 0.1), NUM_HISTOGRAM_BINS + 1)

    def plot(axes):
        for (name, values), look, style in zip(rates.items(), looks, ("-", "--", "-.", ":")):
            axes.hist(values, bins=edges, histtype="step", linewidth=1.6, linestyle=style, color=look.colour, label=shortened(name, WIDEST_NAME))
        axes.set_xlabel("States before / after compression")
        axes.set_ylabel("Utterances")
        axes.yaxis.set_major_locator(_few_ticks())
        _legend(axes)

    means = "; ".join(f"{name}: mean {number(values.mean(), 2)}" for name, values in rates.items())
    return draw("Compression rate", f"Histogram of the compression rates of the utterances. {means}.", HEIGHT, plot, name="histogram of rates")


def attention(system: str, utterance_id: str, tokens: Sequence[str], weights: np.ndarray, seconds_per_column: float) -> Chart:
    """A picture of which moments of the speech are read for each token: dark is much.

    Args:
        tokens:  U of them.
        weights: (U, T'), T' columns of `seconds_per_column` each.
    """
    seconds = weights.shape[1] * seconds_per_column

    def plot(axes):
        axes.imshow(
            np.sqrt(np.clip(weights, 0, None)),  # the square root shows the weak ones too
            aspect="auto",
            cmap="Greys",
            interpolation="nearest",
            extent=(0, seconds, len(tokens) - 0.5, -0.5),
        )
        axes.set_yticks(range(len(tokens)), [shortened(token, WIDEST_TOKEN) for token in tokens], fontsize=9)
        axes.set_xlabel("Seconds of speech")
        axes.grid(False)

    peaks = ", ".join(f"{token} at {number(row.argmax() * seconds_per_column, 1)} s" for token, row in zip(tokens, weights))
    description = f"Attention of {system} to {number(seconds, 1)} s of speech. Most is read for {peaks}."
    return draw(system, description, 70 + 15 * len(tokens), plot, name=f"attention {system} {utterance_id}")


def _legend(axes):
    axes.legend(loc="lower left", bbox_to_anchor=(-0.12, 1.0), ncols=2, borderaxespad=0.2, handlelength=2.2, columnspacing=1.2)


def _few_ticks():
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, integer=True)
