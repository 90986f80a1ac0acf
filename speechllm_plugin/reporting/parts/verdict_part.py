"""The verdict: the outcome of a report in plain words."""

import math
from typing import NamedTuple

from scipy.special import stdtrit

from speechllm_plugin.reporting.breakdown import Breakdown
from speechllm_plugin.reporting.part import Content
from speechllm_plugin.reporting.parts.score_part import Scores
from speechllm_plugin.reporting.results import LEVEL
from speechllm_plugin.reporting.study import Study
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.formats import MINUS
from speechllm_plugin.scoring.significance import Comparison, Interval


class Outcome(NamedTuple):
    """The outcome for one pair of systems.

    headline: one sentence.
    details:  the numbers behind it.
    aside:    what training seeds have to say against a difference, where the details are folded away; "" for nothing.
    """

    headline: str
    details: str
    aside: str = ""


def verdict(study: Study, scores: Scores, slices: Breakdown) -> Content:
    """The Outcome for each system but the first: which of the two is better by the main metric. Of one system alone, its score."""
    main, names = scores.results[0], study.names
    if len(names) == 1:
        interval, heading = main.intervals[0], main.quantity.heading
        headline = f"{names[0]} reaches {formats.number(interval.score)} {heading} on {study.split}."
        return Content(numbers=[Outcome(headline, f"95% interval {_range(interval)}.")])
    return Content(numbers=[_of_pair(names, study.num_seeds, other, scores, slices) for other in range(1, len(names))])


def _of_pair(names: list[str], num_seeds: int, other: int, scores: Scores, slices: Breakdown) -> Outcome:
    main = scores.results[0]
    comparison, heading, winner = main.comparisons[other - 1], main.quantity.heading, main.winner(other)
    if winner is None:
        headline = f"No significant difference in {heading} between {names[0]} and {names[other]}."
    else:
        loser = names[other if winner == 0 else 0]
        headline = f"{names[winner]} has significantly {'lower' if main.quantity.lower_is_better else 'higher'} {heading} than {loser}."
    first, second = (formats.number(main.intervals[system].score) for system in (0, other))
    numbers = (
        f"{names[0]} {first}, {names[other]} {second}. {names[0]} {MINUS} {names[other]}: {formats.difference(comparison.difference)} points, "
        f"95% interval {_range(comparison, signed=True)} ({_relative(comparison)}), "
        f"{formats.p_equation(comparison.p_randomisation)} by approximate randomisation"
        + (f" ({formats.p_value(main.adjusted[other - 1])} after Holm's correction)." if len(scores.results) > 1 or len(names) > 2 else ".")
    )
    sentences = [numbers, _seeds(comparison, num_seeds), *_mean(names, other, scores), *_other_metrics(names, other, scores)]
    sentences += _slices(names, other, slices)
    seeds_differ = winner is not None and num_seeds > 1 and abs(comparison.difference) <= _reach(comparison, num_seeds)
    return Outcome(headline, " ".join(sentences), "these models; seeds vary too much to speak of others" if seeds_differ else "")


def _seeds(comparison: Comparison, num_seeds: int) -> str:
    """A sentence on what other training seeds would give.

    The tests of significance draw sentences and know nothing of training. Whether other seeds would differ the same way is told by a paired
    t test over the seeds' differences.
    """
    if num_seeds == 1:
        return "One training of each: what other seeds would give is unknown."
    deviation = (
        f"Between the {num_seeds} pairs of training seeds it varies by {formats.number(comparison.seed_deviation)} points (standard deviation)"
    )
    if abs(comparison.difference) > _reach(comparison, num_seeds):
        return f"{deviation}."
    return f"{deviation}, too much to say that models of other seeds would differ the same way: the tests are about these models."


def _reach(comparison: Comparison, num_seeds: int) -> float:
    """Half of the interval of the difference over training seeds, by a paired t test."""
    return float(stdtrit(num_seeds - 1, 1 - LEVEL / 2)) * comparison.seed_deviation / math.sqrt(num_seeds)


def _mean(names: list[str], other: int, scores: Scores) -> list[str]:
    """A sentence on the mean over languages, in which each counts the same: it may tell another story than all sentences together."""
    if not scores.means:
        return []
    mean, heading = scores.means[0], scores.metrics[0].heading
    winner, comparison = mean.winner(other), mean.comparisons[other - 1]
    outcome = "no significant difference" if winner is None else f"{names[winner]} is significantly better"
    return [f"By the mean of {heading} over languages, {outcome} ({formats.difference(comparison.difference)} points)."]


def _other_metrics(names: list[str], other: int, scores: Scores) -> list[str]:
    groups: dict[int | None, list[str]] = {}
    for result in scores.results[1:]:
        groups.setdefault(result.winner(other), []).append(result.quantity.heading)
    sentences = []
    for winner, headings in groups.items():
        outcome = "no significant difference" if winner is None else f"{names[0 if winner == 0 else other]} is significantly better"
        sentences.append(f"By {formats.enumeration(headings)}, {outcome}.")
    return sentences


def _slices(names: list[str], other: int, slices: Breakdown) -> list[str]:
    tested = [row.result for row in slices.filled]
    if not tested:
        return []
    wins = {winner: sum(result.winner(other) == winner for result in tested) for winner in (0, other)}
    if not any(wins.values()):
        return [f"On none of {len(tested)} slices is the difference significant (Holm, {LEVEL})."]
    parts = [f"{names[winner]} is better on {number}" for winner, number in wins.items() if number]
    return [f"Of {len(tested)} slices, {formats.enumeration(parts)} with significance (Holm, {LEVEL})."]


def _relative(comparison: Comparison) -> str:
    """The difference in percent of the other system's score."""
    low, high = (formats.difference(end, 1) for end in (comparison.relative_low, comparison.relative_high))
    reach = "unknown" if math.isnan(comparison.relative_low) else f"{low} to {high}"
    return f"relative {formats.difference(comparison.relative, 1)}%, {reach}"


def _range(interval: Interval | Comparison, signed: bool = False) -> str:
    if math.isnan(interval.low):
        return "unknown"
    form = formats.difference if signed else formats.number
    return f"{form(interval.low)} to {form(interval.high)}"
