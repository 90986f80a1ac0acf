"""Forest plots: a row for each slice, a point for the difference of two systems on it, a line for its interval."""

from collections.abc import Sequence

import numpy as np

from speechllm_plugin.reporting.breakdown import Breakdown, Row
from speechllm_plugin.reporting.figures.palette import FAINT, LOOKS, NEUTRAL
from speechllm_plugin.reporting.figures.svg import Chart, draw
from speechllm_plugin.reporting.results import Result
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.formats import MINUS

MOST_ROWS = 20  # of one picture; the table has all
ROW_HEIGHT = 21
_WIDEST_LABEL, _WIDEST_NAME, _SHORT_NAMES = 19, 22, 10
_MANY = 4  # systems: their pairs need more room, and have only the other one's name
# Of the picture: where the axis begins and ends (share of the width), the space above and below the rows (pixels).
_LEFT, _RIGHT, _ABOVE, _BELOW, _LEGEND_LINE = 0.385, 0.89, 18, 42, 17
# A few slices of some utterances may have intervals far wider than the others, which would become dots.
_TIMES_MEDIAN = 3


def forests(systems: Sequence[str], found: Breakdown) -> list[Chart]:
    """A forest for each group that is not empty, with one scale."""
    half_width = axis_half_width([row.result for row in found.filled], found.overall)
    groups = {title: rows for title, rows in found.rows.items() if any(row.size for row in rows)}
    return [forest(title, found.quantity, systems, rows, found.overall, half_width) for title, rows in groups.items()]


def forest(title: str, heading: str, systems: Sequence[str], rows: Sequence[Row], overall: Result | None, half_width: float) -> Chart:
    """The Chart of the rows that are not empty, the largest MOST_ROWS of them: differences, or of one system the scores.

    Args:
        title: distinct within the page.
        heading: what the numbers are.
        overall: of all sentences, a dashed line; None draws none.
        half_width: of `axis_half_width`: what the axis shows on either side of zero; of one system, of the overall score.
    """
    shown = [row for row in rows if row.size and not np.isnan(row.result.intervals[0].score)]
    largest = {row.label for row in sorted(shown, key=lambda row: -row.size)[:MOST_ROWS]}
    shown = [row for row in shown if row.label in largest]
    pairs = range(1, len(systems)) or [0]
    apart = 0 if len(pairs) == 1 else (0.5 if len(systems) < _MANY else 0.8) / len(pairs)
    centre = overall.intervals[0].score if len(systems) == 1 and overall is not None else 0.0
    left, right = centre - half_width, centre + half_width
    lines = -(-len(pairs) // 2) if len(systems) > 2 else int(_has_long_names(systems))
    above = _ABOVE + _LEGEND_LINE * lines
    height = above + _BELOW + ROW_HEIGHT * len(shown) * (1 if len(systems) < _MANY else 0.45 * len(pairs))

    def plot(axes):
        axes.figure.set_layout_engine("none")  # the same margins in all of them, so that the axes stand below one another
        axes.set_position((_LEFT, _BELOW / height, _RIGHT - _LEFT, (height - _BELOW - above) / height))
        for position, row in enumerate(shown):
            for pair in pairs:
                _draw_row(axes, position + apart * (pair - np.mean(pairs)), _estimate(row.result, pair), _look(row.result, pair), left, right)
        axes.axvline(centre, color=NEUTRAL, linewidth=0.9, zorder=0)
        if overall is not None and len(systems) == 2:
            axes.axvline(overall.comparisons[0].difference, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
        axes.set_xlim(left - 0.03 * half_width, right + 0.03 * half_width)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_yticks(range(len(shown)), [formats.shortened(row.label, _WIDEST_LABEL) for row in shown])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(False)
        counts = axes.secondary_yaxis("right")
        counts.set_yticks(range(len(shown)), [f"{row.size:,}" for row in shown])
        counts.tick_params(length=0, labelcolor=NEUTRAL)
        counts.spines["right"].set_visible(False)
        _say(axes, 1, "n", "left", offset=8)
        if len(systems) == 2:
            _say_sides(axes, systems, shown[0].result.quantity.lower_is_better)
        elif len(systems) > 2:
            place = (-_LEFT / (_RIGHT - _LEFT), 1.0)
            axes.legend(handles=_legend(systems), loc="lower left", bbox_to_anchor=place, ncols=2, borderaxespad=0.1, handlelength=1)
        difference = "Difference" if len(systems) < _MANY else f"{systems[0]} {MINUS} the other"
        axes.set_xlabel(heading if len(systems) == 1 else f"{difference} in {heading}")

    chart = draw(title, _description(heading, systems, shown), height, plot)
    num_filled = sum(bool(row.size) for row in rows)
    return chart._replace(note=f"the {len(shown)} largest of {num_filled}" if len(shown) == MOST_ROWS < num_filled else "")


def axis_half_width(results: Sequence[Result], overall: Result | None = None) -> float:
    """The range of values that all forests of a page share, on either side of the centre.

    Every interval fits, except those that reach further than _TIMES_MEDIAN times the median reach.
    """
    if results and not results[0].comparisons:
        centre = overall.intervals[0].score if overall is not None else 0.0
        reaches = [max(abs(each.low - centre), abs(each.high - centre)) for result in results for each in result.intervals]
    else:
        reaches = [max(abs(each.low), abs(each.high)) for result in results for each in result.comparisons]
    reaches = [reach for reach in reaches if not np.isnan(reach) and reach > 0]
    return float(min(max(reaches), _TIMES_MEDIAN * np.median(reaches))) * 1.05 if reaches else 1.0


def _estimate(result: Result, pair: int) -> tuple[float, float, float]:
    """Point, low and high of the difference; of one system (pair 0), of its score."""
    if pair == 0:
        return result.intervals[0][:3]
    comparison = result.comparisons[pair - 1]
    return comparison.difference, comparison.low, comparison.high


def _look(result: Result, pair: int) -> tuple[str, str, bool]:
    """Colour, marker and whether it is filled: the winner's colour and shape, grey where neither is better; of many systems the other one's."""
    if pair == 0:
        return LOOKS[0].colour, LOOKS[0].marker, True
    winner = result.winner(pair)
    if len(result.comparisons) > 1:
        return LOOKS[pair].colour, LOOKS[pair].marker, winner is not None
    return (LOOKS[winner].colour, LOOKS[winner].marker, True) if winner is not None else (FAINT, "o", False)


def _draw_row(axes, y, estimate, look, left, right):
    point, low, high = estimate
    colour, marker, is_filled = look
    if not np.isnan(low):
        axes.plot(np.clip([low, high], left, right), [y, y], color=colour, linewidth=1.5, solid_capstyle="butt", zorder=2)
        for end, is_cut, arrow in ((left, low < left, "<"), (right, high > right, ">")):
            if is_cut:
                axes.plot([end], [y], arrow, color=colour, markersize=4, zorder=2)
    # A point beyond the axis stands at its edge, where the arrow says that it goes on.
    shown = np.clip(point, left, right)
    if shown != point:
        axes.plot([shown], [y], "<" if point < left else ">", color=colour, markersize=10, markerfacecolor="none", zorder=2)
    axes.plot([shown], [y], marker, color=colour, markersize=6, markerfacecolor=colour if is_filled else "white", markeredgewidth=1.4, zorder=3)


def _has_long_names(systems: Sequence[str]) -> bool:
    """Whether the names of two systems are too long to stand side by side above the axis."""
    return len(systems) == 2 and sum(min(len(name), _WIDEST_NAME) for name in systems) > _SHORT_NAMES


def _say_sides(axes, systems, lower_is_better):
    left, right = (formats.shortened(name, _WIDEST_NAME) for name in (systems if lower_is_better else systems[::-1]))
    _say(axes, 0, f"← {left} better", "left", above=_LEGEND_LINE * 0.75 if _has_long_names(systems) else 0)
    _say(axes, 1, f"{right} better →", "right")


def _say(axes, place, text, alignment, offset=0, above=0):
    """A word above the rows, at a place from 0 (left) to 1 (right)."""
    axes.annotate(
        text, (place, 1), (offset, 3 + above), xycoords="axes fraction", textcoords="offset points", ha=alignment, color=NEUTRAL, fontsize=10
    )


def _legend(systems):
    from matplotlib.lines import Line2D

    names = [formats.shortened(name, _WIDEST_NAME // 2 if len(systems) < _MANY else _WIDEST_NAME) for name in systems]
    before = f"{names[0]} {MINUS} " if len(systems) < _MANY else ""
    return [
        Line2D([], [], color=LOOKS[pair].colour, marker=LOOKS[pair].marker, linewidth=1.2, label=before + names[pair])
        for pair in range(1, len(systems))
    ]


def _description(heading: str, systems: Sequence[str], shown: Sequence[Row]) -> str:
    what = f"Scores ({heading})" if len(systems) == 1 else f"Differences in {heading}, {systems[0]} minus {formats.enumeration(systems[1:])},"
    parts = []
    for row in shown:
        estimates = [_estimate(row.result, pair) for pair in (range(1, len(systems)) or [0])]
        parts.append(f"{row.label} " + ", ".join(f"{formats.number(point, 1)} {formats.interval(low, high, 1)}" for point, low, high in estimates))
    return f"{what} with 95% intervals: {'; '.join(parts)}."
