"""Intervals of scores, and p values of differences between systems, from statistics of sentences.

Shapes: M training seeds of a system (1 if there is one), N sentences, K statistics of a sentence, R resamples or trials. The
score of a system is the mean over its seeds of formula(sum over the sentences). The sentences are the units of chance: a
resample draws a sentence with the outputs of all seeds, a trial exchanges those of the two systems together, and seed i of one
system is paired with seed i of the other. How much seeds differ is said apart, as their standard deviation.

A resample or trial in which a score has no value (no reference words were drawn) says nothing about it and is left out. Where
that leaves less than LEAST_WITH_SCORE of the resamples, interval and bootstrap p are nan; of the trials, the randomisation's p.
A sentence whose statistics are zero in every seed (in a comparison: of both systems) says nothing either, as it changes no sum.
Fewer than two others have no spread that could be resampled: interval and bootstrap p are nan, the rest is not.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Formula = Callable[[np.ndarray], np.ndarray]  # (..., K) sums -> (...) scores

NUM_RESAMPLES = NUM_TRIALS = 10_000
MOST_RESAMPLES = 1_000_000  # gigabytes, and no digit more
SEED = 12345
CONFIDENCE = 0.95

# Scores are percentages. Differences closer than this are ties: sums of the same numbers in another order differ by less, and
# what texts can really differ by is more.
TOLERANCE = 1e-9
# The resamples that are left out are not a random part: in them the few sentences that carry a score were missed, so that the rest
# tells too little spread. Of n such sentences all are missed in about exp(-n) of the resamples: 5% for three, 14% for two.
LEAST_WITH_SCORE = 0.9
# Resamples at a time, for memory: 256 of 15,000 sentences are 31 MB. Results do not depend on it.
BLOCK = 256


class Interval(NamedTuple):
    """A score, its percentile interval, and the sample standard deviation over seeds (nan for one)."""

    score: float
    low: float
    high: float
    deviation: float


class Comparison(NamedTuple):
    """The score of the first system minus that of the second.

    low, high: the percentile interval of the difference.
    p_bootstrap, p_randomisation: how probable a difference at least as large is, of either sign, if the systems are equally good.
    seed_deviation: sample standard deviation of the differences between paired seeds (nan for one).
    relative, relative_low, relative_high: the difference in percent of the second system's score, and its interval; nan where that score is 0.
    """

    difference: float
    low: float
    high: float
    p_bootstrap: float
    p_randomisation: float
    seed_deviation: float
    relative: float = np.nan
    relative_low: float = np.nan
    relative_high: float = np.nan


def interval(
    formula: Formula,
    statistics: np.ndarray,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = SEED,
    confidence: float = CONFIDENCE,
) -> Interval:
    """The score of a system and its bootstrap interval over sentences.

    Args:
        formula: (..., K) sums -> (...) scores.
        statistics: (M, N, K) of each training seed and sentence.
        num_resamples: R.
        seed: of the resamples; the same for the same number of sentences.
        confidence: share of the resampled scores that lie in the interval.

    Returns:
        nan where the statistics have no score or there is no sentence; low and high also where too few sentences or resamples tell.

    Raises:
        ValueError: statistics of another shape, or a number out of its range.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    [found], _ = compare_all(formula, [statistics], num_resamples, seed=seed, confidence=confidence)
    return found


def compare(
    formula: Formula,
    first: np.ndarray,
    second: np.ndarray,
    num_resamples: int = NUM_RESAMPLES,
    num_trials: int = NUM_TRIALS,
    seed: int = SEED,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """The difference between two systems on the same sentences, its interval, and the p values of two paired tests.

    Bootstrap: the share of resamples whose difference is as far from the mean of all of them as the difference is from zero,
    on either side. Randomisation: the share of trials, in each of which the systems' outputs of every sentence are exchanged
    or not with probability 1/2, whose difference is as large. Both are two-sided, and equal counts as larger, so that p is 1
    for systems that are the same. p is (count + 1) / (trials + 1); where all 2^N exchanges are not more than `num_trials`,
    each is tried once and p is exact, count / 2^N.

    Args:
        formula: (..., K) sums -> (...) scores.
        first, second: (M, N, K) of each training seed and sentence of one system; same seeds and sentences.
        num_resamples, num_trials: R of the bootstrap and of the randomisation.
        seed, confidence: as in `interval`.

    Raises:
        ValueError: statistics that differ in shape, or as in `interval`.

    Source: Koehn 2004, Statistical Significance Tests for Machine Translation Evaluation (paired resampling); Riezler and
    Maxwell 2005, On Some Pitfalls in Automatic Evaluation and Significance Testing for MT (shift to the null hypothesis, here
    of differences with their sign, which makes it two-sided; approximate randomisation).
    """
    _, [found] = compare_all(formula, [first, second], num_resamples, num_trials, seed, confidence)
    return found


def compare_all(
    formula: Formula,
    systems: Sequence[np.ndarray],
    num_resamples: int = NUM_RESAMPLES,
    num_trials: int = NUM_TRIALS,
    seed: int = SEED,
    confidence: float = CONFIDENCE,
) -> tuple[list[Interval], list[Comparison]]:
    """The `interval` of each system, and `compare` of the first with each other one; every system is resampled once only.

    Args:
        systems: one at least; otherwise as in `compare`.
    """
    systems = [_checked(statistics, min(num_resamples, num_trials), confidence) for statistics in systems]
    for other in systems[1:]:
        if other.shape != systems[0].shape:
            raise ValueError(
                "both systems need the same seeds, sentences and statistics, but have (seeds, sentences, statistics) "
                f"{systems[0].shape} and {other.shape}; pair as many seeds of one as of the other"
            )
    scores = [_of_seeds(formula, each) for each in systems]  # (M,) each
    resampled = [_resampled(formula, each, num_resamples, seed) for each in systems]  # (R,) each
    intervals = []
    for statistics, of_seeds, of_resamples in zip(systems, scores, resampled):
        score = float(of_seeds.mean())
        ends = _percentiles(_telling(of_resamples, statistics), score, confidence)
        intervals.append(Interval(score, *ends, _deviation(of_seeds)))
    comparisons = []
    for statistics, of_seeds, of_resamples in zip(systems[1:], scores[1:], resampled[1:]):
        seed_differences = scores[0] - of_seeds
        difference = float(seed_differences.mean())
        differences = _telling(resampled[0] - of_resamples, systems[0], statistics)
        p_values = _p_bootstrap(differences, difference), _p_randomisation(formula, systems[0], statistics, difference, num_trials, seed)
        ends = _percentiles(differences, difference, confidence)
        relative = float(_percent(difference, of_seeds.mean()))
        shares = _telling(_percent(resampled[0] - of_resamples, of_resamples), systems[0], statistics)
        relative_ends = _percentiles(shares, relative, confidence)
        comparisons.append(Comparison(difference, *ends, *p_values, _deviation(seed_differences), relative, *relative_ends))
    return intervals, comparisons


def free_resamples() -> None:
    """Forget the resamples that are kept for the next metric of the same sentences: R x N bytes."""
    _kept.clear()


def exchanges(num_sentences: int, num_trials: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of (R, N) of 0 and 1, where 1 exchanges the outputs of a sentence: all 2^N if those are few, else random ones."""
    if 2**num_sentences <= num_trials:
        numbers = np.arange(2**num_sentences)[:, None]
        yield numbers >> np.arange(num_sentences) & 1
        return
    generator = np.random.default_rng((seed, 1))  # not the stream of the bootstrap
    for start in range(0, num_trials, BLOCK):
        words = generator.integers(2**32, size=(min(BLOCK, num_trials - start), -(-num_sentences // 32)), dtype=np.uint32)
        yield np.unpackbits(words.view(np.uint8), axis=1, count=num_sentences)


def _checked(statistics: np.ndarray, num_resamples: int, confidence: float) -> np.ndarray:
    statistics = np.asarray(statistics, dtype=np.float64)
    if statistics.ndim != 3 or not statistics.shape[0]:
        raise ValueError(f"statistics must be (seeds, sentences, statistics) with a seed at least, but are {statistics.shape}")
    if num_resamples < 1:
        raise ValueError(f"the number of resamples and trials must be positive, but is {num_resamples}")
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must lie between 0 and 1, but is {confidence}")
    return statistics


def _of_seeds(formula: Formula, statistics: np.ndarray) -> np.ndarray:
    """(M,) scores; nan without sentences, whatever the formula makes of zeros."""
    if not statistics.shape[1]:
        return np.full(len(statistics), np.nan)
    return np.asarray(formula(statistics.sum(1)), dtype=np.float64)


def _percent(differences: np.ndarray | float, scores: np.ndarray | float) -> np.ndarray:
    """Differences in percent of scores; nan of a score of 0."""
    return 100 * np.divide(differences, np.where(np.equal(scores, 0), np.nan, scores))


def _deviation(scores: np.ndarray) -> float:
    return float(np.std(scores, ddof=1)) if len(scores) > 1 else np.nan


_kept: dict[tuple, np.ndarray] = {}  # arguments -> what _resamples made of them; one entry at most


def _resamples(*arguments: int) -> np.ndarray:
    """(R, N) uint8: how often each sentence is in each resample. The last is kept: metrics of the same sentences share it."""
    counts = _kept.get(arguments)
    if counts is None:
        free_resamples()  # before others are drawn, so that those of large sets are never both in memory
        counts = _kept[arguments] = _drawn(*arguments)
    return counts


def _drawn(num_sentences: int, num_resamples: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    counts = np.empty((num_resamples, num_sentences), dtype=np.uint8)
    for start in range(0, num_resamples, BLOCK):
        # int32: other widths would draw other numbers in blocks than at once.
        drawn = generator.integers(num_sentences, size=(min(BLOCK, num_resamples - start), num_sentences), dtype=np.int32)
        places = drawn + np.arange(len(drawn))[:, None] * num_sentences
        block = np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape)
        assert block.max() < 256  # of 256 draws and more that all fall on one sentence, none ever happens
        counts[start : start + len(block)] = block
    counts.flags.writeable = False
    return counts


def _resampled(formula: Formula, statistics: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """(R,) scores of the resamples; none for fewer than two sentences."""
    num_seeds, num_sentences, size = statistics.shape
    if num_sentences < 2:
        return np.empty(0)
    columns = statistics.transpose(1, 0, 2).reshape(num_sentences, -1)
    counts = _resamples(num_sentences, num_resamples, seed)
    blocks = (counts[start : start + BLOCK].astype(np.float64) @ columns for start in range(0, num_resamples, BLOCK))
    return np.concatenate([formula(sums.reshape(-1, num_seeds, size)).mean(1) for sums in blocks])


def _telling(resampled: np.ndarray, *statistics: np.ndarray) -> np.ndarray:
    """The resampled scores that are not nan; none where too few of them or of the sentences say something."""
    informative = np.any([each.any(axis=(0, 2)) for each in statistics], axis=0)
    with_score = resampled[~np.isnan(resampled)]
    enough = informative.sum() >= 2 and len(with_score) >= LEAST_WITH_SCORE * len(resampled)
    return with_score if enough else with_score[:0]


def _percentiles(resampled: np.ndarray, observed: float, confidence: float) -> tuple[float, float]:
    """The ends of the interval."""
    if not len(resampled) or np.isnan(observed):
        return np.nan, np.nan
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _p_bootstrap(resampled: np.ndarray, difference: float) -> float:
    if not len(resampled) or np.isnan(difference):
        return np.nan
    return (_num_as_large(resampled - resampled.mean(), difference) + 1) / (len(resampled) + 1)


def _p_randomisation(formula: Formula, first: np.ndarray, second: np.ndarray, difference: float, num_trials: int, seed: int) -> float:
    if np.isnan(difference):
        return np.nan
    num_seeds, num_sentences, size = first.shape
    change = (second - first).transpose(1, 0, 2).reshape(num_sentences, -1)
    count = num_tried = num_with_score = 0
    for block in exchanges(num_sentences, num_trials, seed):
        moved = (block.astype(np.float64) @ change).reshape(-1, num_seeds, size)
        differences = (formula(first.sum(1) + moved) - formula(second.sum(1) - moved)).mean(1)
        differences = differences[~np.isnan(differences)]
        count += _num_as_large(differences, difference)
        num_tried += len(block)
        num_with_score += len(differences)
    if num_with_score < LEAST_WITH_SCORE * num_tried:
        return np.nan
    is_exact = 2**num_sentences <= num_trials  # and the observed outputs are among those tried
    return count / num_with_score if is_exact else (count + 1) / (num_with_score + 1)


def _num_as_large(differences: np.ndarray, observed: float) -> int:
    return int(np.count_nonzero(np.abs(differences) >= abs(observed) - TOLERANCE))
