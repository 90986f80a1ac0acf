"""Scores by how long the utterances are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speechllm_plugin.reporting.figures import charts
from speechllm_plugin.reporting.figures.svg import Chart
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.parts.score_part import Scores
from speechllm_plugin.reporting.results import Quantity, Settings, intervals
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.table import Column, Section, Table
from speechllm_plugin.scoring.significance import Interval

MOST_BINS = 8
FEWEST_UTTERANCES = 10  # of a bin, where there are enough


class Bin(NamedTuple):
    """Utterances of similar duration, and the score of each system on them."""

    low_seconds: float
    high_seconds: float
    mean_seconds: float
    num_utterances: int
    intervals: list[Interval]


class Durations(NamedTuple):
    """heading: of the metric; bins: from short to long."""

    heading: str
    bins: list[Bin]


def by_duration(study: Study, scores: Scores, settings: Settings) -> Content:
    """The main metric by duration."""
    quantity = scores.main
    bins = binned(quantity, study.durations, settings)
    return Content([_table(study, quantity.heading, bins)], Durations(quantity.heading, bins))


def binned(quantity: Quantity, seconds: np.ndarray, settings: Settings) -> list[Bin]:
    """Bins of about as many utterances each, from short to long; those of one duration stay together. seconds: (N,)."""
    num_bins = max(1, min(MOST_BINS, len(seconds) // FEWEST_UTTERANCES))
    edges = np.unique(np.quantile(seconds, np.linspace(0, 1, num_bins + 1)))
    number_of_bin = np.clip(np.searchsorted(edges, seconds, side="right") - 1, 0, max(0, len(edges) - 2))
    bins = []
    for number in np.unique(number_of_bin):
        rows = number_of_bin == number
        inside = intervals(quantity.of_rows(quantity.heading, rows), settings)
        bins.append(Bin(seconds[rows].min(), seconds[rows].max(), seconds[rows].mean(), int(rows.sum()), inside))
    return bins


def duration_charts(study: Study, found: Durations) -> list[Chart]:
    """The scores against the duration, and how many utterances there are of each duration."""
    seconds, of_bins = [each.mean_seconds for each in found.bins], [each.intervals for each in found.bins]
    return [charts.score_by_duration(study.names, found.heading, seconds, of_bins), charts.durations(study.durations)]


def _table(study: Study, heading: str, bins: Sequence[Bin]) -> Table:
    columns = [Column("seconds", is_text=True), Column("n")]
    columns += [Column(each, name) for name in study.names for each in ("score", "95% interval")]
    rows = []
    for each in bins:
        row = [f"{formats.number(each.low_seconds)} to {formats.number(each.high_seconds)}", f"{each.num_utterances:,}"]
        for interval in each.intervals:
            row += [formats.number(interval.score), formats.interval(interval.low, interval.high)]
        rows.append(row)
    return Table("durations", f"{heading} by duration, {study.split}", columns, [Section("", rows)])
