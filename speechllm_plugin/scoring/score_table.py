"""The tables of `speechllm score`: scores, scores by the values of a column, and a comparison of two systems."""

import math
from collections.abc import Mapping, Sequence

from speechllm_plugin.files.text_table import aligned_row
from speechllm_plugin.scoring.ceiling import Ceiling
from speechllm_plugin.scoring.measuring import Score
from speechllm_plugin.scoring.significance import CONFIDENCE, Comparison

EMPTY_REFERENCES = "References without text: {}. Whatever a system says there counts as words too many."
UNDETERMINED = "-"  # too few sentences to say, or none with what a metric counts
INTERVAL = f"{CONFIDENCE:.0%} interval"
NAME_WIDTH, INTERVAL_WIDTH = -14, -16  # aligned to the left
LETTERS_OF_TEXT = 60
FIRST_WIDTHS = (NAME_WIDTH, 6)


def scores(each: Sequence[Score], num_sentences: int, num_empty: int = 0) -> list[str]:
    """A line per `Score`: metric, score, interval, number of sentences, signature; and what empty references do to them."""
    rows = [["metric", "score", INTERVAL, "sentences", "signature"]]
    rows += [[one.metric, _number(one.score), _interval(one.low, one.high), str(num_sentences), one.signature] for one in each]
    lines = [aligned_row(row, (*FIRST_WIDTHS, INTERVAL_WIDTH, 9)) for row in rows]
    if num_empty:
        lines.append(EMPTY_REFERENCES.format(num_empty))
    return lines


def ceiling(highest: Ceiling, targets: Sequence[str], references: Sequence[str]) -> list[str]:
    """A line on what the vocabulary allows at most; none where it allows a perfect output."""
    if not highest.scores:
        return []
    scores = ", ".join(f"{name} {score:.2f}" for name, score in highest.scores.items())
    row = highest.changed[0]
    return [
        f"Ceiling: {scores}. This is what the references score as the model's vocabulary writes them, and no output can do better: it changes "
        f"{len(highest.changed):,} of {len(references):,} (row {row}: {_shown(references[row])} becomes {_shown(targets[row])}). speechllm prepare "
        "says why; vocabularies that it makes anew keep all that stands in the training texts."
    ]


def by_value(column: str, values: Mapping[str, tuple[int, Mapping[str, float]]], mean: Mapping[str, float]) -> list[str]:
    """A line per metric: the score of each value of a column, and their mean.

    Args:
        values: value -> number of sentences, and metric -> score.
        mean: metric -> mean over the values.
    """
    names = [*(f"{value or '(empty)'} ({number})" for value, (number, _) in values.items()), "mean"]
    rows = [[f"by {column}", *names]]
    for metric, average in mean.items():
        rows.append([metric, *(_number(number) for number in [*(of_value[metric] for _, of_value in values.values()), average])])
    return [aligned_row(row, [NAME_WIDTH, *(max(7, len(name)) for name in names)]) for row in rows]


def comparisons(
    each: Sequence[Score], others: Mapping[str, float], found: Mapping[str, Comparison], num_sentences: int, num_trials: int
) -> list[str]:
    """A line per `Score`: the score of both systems, their difference, also in percent of the other, with intervals, p of both tests."""
    rows = [["against", "score", "other", "difference", INTERVAL, "in %", INTERVAL, "p bootstrap", "p randomisation"]]
    for one in each:
        comparison = found[one.metric]
        numbers = [_number(one.score), _number(others[one.metric]), _number(comparison.difference, "+"), _interval(comparison.low, comparison.high)]
        numbers += [_number(comparison.relative, "+"), _interval(comparison.relative_low, comparison.relative_high)]
        rows.append([one.metric, *numbers, _p(comparison.p_bootstrap), _p(comparison.p_randomisation)])
    lines = [aligned_row(row, (*FIRST_WIDTHS, 6, 10, INTERVAL_WIDTH, 7, INTERVAL_WIDTH, 11, 15)) for row in rows]
    exchanges = f"all {2**num_sentences}" if 2**num_sentences <= num_trials else f"{num_trials:,} random"
    lines.append(
        "p: the probability of a difference at least as large, of either sign, if the systems were equally good: among "
        f"{num_trials:,} resamples of the sentences around no difference (bootstrap), and among {exchanges} exchanges of the "
        "systems' outputs of single sentences (randomisation)."
    )
    return lines


def _shown(text: str) -> str:
    """A text's beginning, in quotes."""
    return repr(text if len(text) <= LETTERS_OF_TEXT else f"{text[:LETTERS_OF_TEXT]}...")


def _interval(low: float, high: float) -> str:
    return UNDETERMINED if math.isnan(low) else f"[{low:.2f}, {high:.2f}]"


def _number(value: float, sign: str = "") -> str:
    return UNDETERMINED if math.isnan(value) else f"{value:{sign}.2f}"


def _p(value: float) -> str:
    return UNDETERMINED if math.isnan(value) else f"{value:.4f}"
