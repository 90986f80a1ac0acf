"""What `speechllm score` prints: aligned lines of scores, of values of a column, and of a comparison of two systems."""

import math
from collections.abc import Mapping, Sequence

from speechllm_plugin.scoring.significance import CONFIDENCE, Comparison

EMPTY_REFERENCES = "References without text: {}. Whatever a system says there counts as words too many."
NONE = "-"  # too few sentences to say
INTERVAL = f"{CONFIDENCE:.0%} interval"


def scores(each: Sequence, num_sentences: int, num_empty: int = 0) -> list[str]:
    """A line per `Score`: metric, score, interval, number of sentences, signature; and what empty references do to them."""
    lines = [f"{'metric':<14}  {'score':>6}  {INTERVAL:<16}  {'sentences':>9}  signature"]
    lines += [f"{one.metric:<14}  {one.score:>6.2f}  {_interval(one):<16}  {num_sentences:>9}  {one.signature}" for one in each]
    if num_empty:
        lines.append(EMPTY_REFERENCES.format(num_empty))
    return lines


def by_value(column: str, values: Mapping[str, tuple[int, Mapping[str, float]]], mean: Mapping[str, float]) -> list[str]:
    """A line per metric: the score of each value of a column, and their mean."""
    names = [*(f"{value or '(empty)'} ({number})" for value, (number, _) in values.items()), "mean"]
    widths = [max(7, len(name)) for name in names]
    lines = ["  ".join([f"{'by ' + column:<14}", *(name.rjust(width) for name, width in zip(names, widths))])]
    for metric, average in mean.items():
        numbers = [*(scores_of_value[metric] for _, scores_of_value in values.values()), average]
        lines.append("  ".join([f"{metric:<14}", *(f"{number:{width}.2f}" for number, width in zip(numbers, widths))]))
    return lines


def comparisons(each: Sequence, others: Mapping[str, float], found: Mapping[str, Comparison], num_sentences: int, num_trials: int) -> list[str]:
    """A line per `Score`: the score of both systems, their difference with its interval, p of both tests; and what p means."""
    lines = [f"{'against':<14}  {'score':>6}  {'other':>6}  {'difference':>10}  {INTERVAL:<16}  {'p bootstrap':>11}  {'p randomisation':>15}"]
    for one in each:
        comparison = found[one.metric]
        p_values = f"{_p(comparison.p_bootstrap):>11}  {_p(comparison.p_randomisation):>15}"
        texts = f"{one.score:>6.2f}  {others[one.metric]:>6.2f}  {comparison.difference:>+10.2f}  {_interval(comparison):<16}"
        lines.append(f"{one.metric:<14}  {texts}  {p_values}")
    exchanges = f"all {2**num_sentences}" if 2**num_sentences <= num_trials else f"{num_trials:,} random"
    lines.append(
        "p: the probability of a difference at least as large, of either sign, if the systems were equally good: among "
        f"{num_trials:,} resamples of the sentences around no difference (bootstrap), and among {exchanges} exchanges of the "
        "systems' outputs of single sentences (randomisation)."
    )
    return lines


def _interval(found):
    return NONE if math.isnan(found.low) else f"[{found.low:.2f}, {found.high:.2f}]"


def _p(value):
    return NONE if math.isnan(value) else f"{value:.4f}"
