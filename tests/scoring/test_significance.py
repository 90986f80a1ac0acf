"""Intervals and p values against enumeration in plain Python, sacreBLEU's test, and what must hold whatever the draws."""

import itertools
import math
import random
import statistics as plain
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
import sacrebleu
from sacrebleu.significance import PairedTest

from speechllm_plugin.scoring import significance
from speechllm_plugin.scoring.metrics import METRICS
from speechllm_plugin.scoring.share import share
from speechllm_plugin.scoring.significance import compare, interval

WORDS = "the a cat sat on mat and dog ran far".split()


def random_system(references, seed, error=0.3):
    generator = random.Random(seed)
    return [" ".join(generator.choice(WORDS) if generator.random() < error else word for word in text.split()) for text in references]


def random_references(num_sentences, seed=0, longest=9):
    generator = random.Random(seed)
    return [" ".join(generator.choices(WORDS, k=generator.randint(4, longest))) for _ in range(num_sentences)]


def of(name, systems, references):
    """(M, N, K) statistics of a system's seeds."""
    return np.stack([METRICS[name].statistics(system, references, [""] * len(references)) for system in systems])


def score_of(name, hypotheses, references):
    """By the texts alone."""
    if name == "bleu":
        return sacrebleu.corpus_bleu(hypotheses, [references]).score
    words = [(hypothesis.split(), reference.split()) for hypothesis, reference in zip(hypotheses, references)]
    edits = sum(sum(one != other for one, other in zip(*pair)) for pair in words)  # random_system only substitutes, so that none is better aligned
    return 100 * edits / sum(len(reference) for _, reference in words)


def exact_randomisation(name, first, second, references):
    """p by every way to exchange the texts of sentences; systems are lists of seeds."""

    def difference(one, other):
        return plain.mean(score_of(name, *pair) for pair in zip(one, itertools.repeat(references))) - plain.mean(
            score_of(name, *pair) for pair in zip(other, itertools.repeat(references))
        )

    observed, count, num_trials = abs(difference(first, second)), 0, 0
    for exchange in itertools.product([False, True], repeat=len(references)):
        one = [[b if x else a for a, b, x in zip(*texts, exchange)] for texts in zip(first, second)]
        other = [[a if x else b for a, b, x in zip(*texts, exchange)] for texts in zip(first, second)]
        count += abs(difference(one, other)) >= observed - 1e-9
        num_trials += 1
    return count / num_trials


def substitutions_only(references, seeds):
    """Systems whose fewest edits are their substitutions, which score_of counts."""
    systems = [random_system(references, seed) for seed in seeds]
    for system in systems:
        assert METRICS["wer"].score(system, references, [""] * len(references)) == pytest.approx(score_of("wer", system, references))
    return systems


@pytest.mark.parametrize("name", ["wer", "bleu"])
@pytest.mark.parametrize("num_sentences", [1, 2, 3, 6, 8])
def test_randomisation_of_few_sentences_is_exact(name, num_sentences):
    references = random_references(num_sentences)
    first, second = substitutions_only(references, [1, 5])
    found = compare(METRICS[name].formula, of(name, [first], references), of(name, [second], references), num_resamples=10)
    assert found.p_randomisation == exact_randomisation(name, [first], [second], references)
    assert found.p_randomisation >= 2 / 2**num_sentences  # nothing and everything exchanged
    assert found.difference == pytest.approx(score_of(name, first, references) - score_of(name, second, references))


def test_the_outputs_of_all_seeds_of_a_sentence_are_exchanged_together():
    references = random_references(5)
    systems = substitutions_only(references, range(1, 7))
    found = compare(share, of("wer", systems[:3], references), of("wer", systems[3:], references), num_resamples=10)
    assert found.p_randomisation == exact_randomisation("wer", systems[:3], systems[3:], references)


def all_resamples(num_sentences):
    """(rows, in how many of the N^N orders they are drawn)."""
    for rows in itertools.combinations_with_replacement(range(num_sentences), num_sentences):
        counts = Counter(rows).values()
        yield rows, math.factorial(num_sentences) // math.prod(map(math.factorial, counts))


@pytest.mark.parametrize("name", ["wer", "bleu"])
@pytest.mark.parametrize("num_sentences", [3, 4, 5])
def test_the_bootstrap_converges_to_all_resamples(name, num_sentences):
    references = random_references(num_sentences, seed=13)
    first, second = substitutions_only(references, [2, 3])
    scores, differences = [], []
    for rows, number in all_resamples(num_sentences):
        drawn = [[texts[row] for row in rows] for texts in (first, second, references)]
        score = score_of(name, drawn[0], drawn[2])
        scores += [score] * number
        differences += [score - score_of(name, drawn[1], drawn[2])] * number
    assert len(scores) == num_sentences**num_sentences
    scores, differences, num_resamples = np.array(scores), np.array(differences), 20_000
    observed, shifted = score_of(name, first, references) - score_of(name, second, references), abs(differences - differences.mean())
    # The mean of what was drawn differs a little from that of all, so that what is about as large may count or not.
    least, most = ((shifted >= abs(observed) + margin).mean() for margin in (0.3, -0.3))

    arrays = [of(name, [system], references) for system in (first, second)]
    found = compare(METRICS[name].formula, *arrays, num_resamples=num_resamples)
    assert least - within(least, num_resamples) <= found.p_bootstrap <= most + within(most, num_resamples)
    assert 0 < most < 1 and most - least < 0.1  # otherwise this would show little
    ends = interval(METRICS[name].formula, arrays[0], num_resamples)
    for low, high, exact in ((found.low, found.high, differences), (ends.low, ends.high, scores)):
        for below, not_above in (
            ((exact < low - 1e-9).mean(), (exact <= low + 1e-9).mean()),
            ((exact > high + 1e-9).mean(), (exact >= high - 1e-9).mean()),
        ):
            assert below - within(0.025, num_resamples) <= 0.025 <= not_above + within(0.025, num_resamples)


def within(probability, number):
    """Four standard errors of a share of so many draws."""
    return 4 * (probability * (1 - probability) / number) ** 0.5


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_randomisation_equals_sacrebleus_where_nothing_is_tied(name, monkeypatch):
    references = random_references(60, seed=2)
    first, second, num_trials = random_system(references, 1), random_system(references, 5), 1000
    metric = {"bleu": sacrebleu.metrics.BLEU, "chrf": sacrebleu.metrics.CHRF}[name]()
    _, theirs = PairedTest([("first", first), ("second", second)], {name: metric}, [references], "ar", num_trials)()
    expected = next(results for key, results in theirs.items() if key != "System")[1].p_value
    assert 0.01 < expected < 0.9

    arrays = [of(name, [system], references) for system in (first, second)]
    own = compare(METRICS[name].formula, *arrays, num_resamples=10).p_randomisation
    assert own == pytest.approx(expected, abs=3 * (expected * (1 - expected) / num_trials) ** 0.5)
    kept = np.random.default_rng(12345).integers(2, size=(num_trials, 60), dtype=bool)  # as sacreBLEU draws them
    monkeypatch.setattr(significance, "exchanges", lambda *arguments: iter([~kept[:300], ~kept[300:]]))
    same = compare(METRICS[name].formula, *arrays, num_resamples=10, num_trials=num_trials)
    assert same.p_randomisation == expected


@pytest.mark.parametrize("name", METRICS)
def test_identical_systems_give_p_1_in_20_draws(name):
    references = random_references(40, seed=3)
    systems = [random_system(references, seed) for seed in (1, 2)]
    for num_seeds, num_sentences in ((1, 40), (2, 40), (1, 5)):
        same = of(name, systems[:num_seeds], references)[:, :num_sentences]
        for seed in range(20):
            found = compare(METRICS[name].formula, same, same.copy(), 300, 300, seed)
            assert (found.difference, found.low, found.high, found.p_bootstrap, found.p_randomisation) == (0, 0, 0, 1, 1)


def test_ties_count_as_large_also_among_rounded_numbers():
    generator = random.Random(5)
    for _ in range(20):
        first, second = ([Fraction(generator.randint(0, 5), 10) for _ in range(8)] for _ in range(2))
        changes = [a - b for a, b in zip(first, second)]
        sums = [abs(sum(-each if x else each for each, x in zip(changes, exchange))) for exchange in itertools.product([0, 1], repeat=8)]
        expected = sum(each >= abs(sum(changes)) for each in sums) / len(sums)
        arrays = [np.array([[[float(each), 1.0] for each in system]]) for system in (first, second)]
        assert compare(share, *arrays, num_resamples=10).p_randomisation == expected


def test_systems_of_equal_quality_seldom_differ_significantly():
    p_values = []
    for seed in range(200):
        references = random_references(25, seed)
        arrays = [of("wer", [random_system(references, 1000 * system + seed)], references) for system in (1, 2)]
        p_values.append(compare(share, *arrays, 400, 400, seed)[3:5])
    for kind in np.array(p_values).T:
        assert 0.01 < (kind <= 0.05).mean() < 0.11 and 0.4 < (kind <= 0.5).mean() < 0.62


def test_seeds_are_averaged_and_paired():
    references = random_references(30)
    first, second = [random_system(references, seed) for seed in (1, 2, 3)], [random_system(references, seed, 0.5) for seed in (4, 5, 6)]
    scores = [[METRICS["bleu"].score(system, references, [""] * 30) for system in seeds] for seeds in (first, second)]
    found = interval(METRICS["bleu"].formula, of("bleu", first, references))
    assert found.score == pytest.approx(plain.mean(scores[0])) and found.deviation == pytest.approx(plain.stdev(scores[0]))
    assert found.low < found.score < found.high
    both = compare(METRICS["bleu"].formula, of("bleu", first, references), of("bleu", second, references))
    differences = [one - other for one, other in zip(*scores)]
    assert both.difference == pytest.approx(plain.mean(differences)) and both.seed_deviation == pytest.approx(plain.stdev(differences))
    assert max(both.p_bootstrap, both.p_randomisation) < 0.01 and 0 < both.low < both.difference < both.high
    with pytest.raises(ValueError, match=r"\(3, 30, 10\) and \(2, 30, 10\); pair as many seeds"):
        compare(METRICS["bleu"].formula, of("bleu", first, references), of("bleu", second[:2], references))


def test_exchanging_the_systems_changes_the_sign_only():
    references = random_references(30)
    arrays = [of("chrf", [random_system(references, seed)], references) for seed in (1, 2)]
    there, back = compare(METRICS["chrf"].formula, *arrays), compare(METRICS["chrf"].formula, *reversed(arrays))
    assert there[:3] == pytest.approx((-back.difference, -back.high, -back.low)) and there[3:5] == back[3:5]
    # So many times the one is so many times less than the other: the ends change places too.
    shares = [1 + percent / 100 for percent in (back.relative, back.relative_high, back.relative_low)]
    assert there[6:] == pytest.approx([100 * (1 / share - 1) for share in shares], rel=1e-3)
    assert there.relative_low < there.relative < there.relative_high
    assert there.relative == pytest.approx(100 * there.difference / interval(METRICS["chrf"].formula, arrays[1]).score)


@pytest.mark.parametrize("block", [1, 7, 100_000])
def test_results_depend_on_the_seed_but_not_on_the_size_of_blocks(block, monkeypatch):
    references = random_references(33)
    arrays = [of("bleu", [random_system(references, seed, error)], references) for seed, error in ((1, 0.3), (2, 0.36))]
    formula = METRICS["bleu"].formula
    expected = [compare(formula, *arrays, 500, 500, seed) for seed in (7, 8)]
    assert expected[0][:1] == expected[1][:1] and expected[0][1:5] != expected[1][1:5]
    significance.free_resamples()
    monkeypatch.setattr(significance, "BLOCK", block)
    again = compare(formula, *arrays, 500, 500, 7)
    assert again[1:5] == pytest.approx(expected[0][1:5], abs=1e-9)
    significance.free_resamples()


def test_nothing_is_known_of_no_sentence_and_little_of_one():
    empty = np.zeros((2, 0, 2))
    assert all(map(np.isnan, [*interval(share, empty), *compare(share, empty, empty)]))
    one, other = np.array([[[1.0, 4.0]]]), np.array([[[3.0, 4.0]]])
    found = interval(share, one)
    assert found.score == 25 and np.isnan([found.low, found.high, found.deviation]).all()
    both = compare(share, one, other)
    assert (both.difference, both.p_randomisation) == (-50, 1) and np.isnan([both.low, both.high, both.p_bootstrap]).all()


def test_resamples_without_a_score_are_left_out():
    first, second = np.array([[[1, 0], [2, 4], [0, 3], [1, 5], [0, 0]]]), np.array([[[0, 0], [3, 4], [1, 3], [0, 5], [1, 0]]])
    scores, differences = [], []
    for rows in itertools.product(range(5), repeat=5):
        sums = first[0, list(rows)].sum(0), second[0, list(rows)].sum(0)
        if sums[0][1]:
            scores.append(100 * sums[0][0] / sums[0][1])
            differences.append(scores[-1] - 100 * sums[1][0] / sums[1][1])
    assert len(scores) == 5**5 - 2**5
    found, both = interval(share, first), compare(share, first, second)
    assert found[:3] == pytest.approx((100 / 3, *np.quantile(scores, [0.025, 0.975])))
    expected = abs(np.array(differences) - plain.mean(differences)) >= abs(both.difference) - 1e-9
    assert both.p_bootstrap == pytest.approx(expected.mean(), abs=within(expected.mean(), 10_000))
    assert [both.low, both.high] == pytest.approx(np.quantile(differences, [0.025, 0.975]))
    relative = [100 * difference / (score - difference) for score, difference in zip(scores, differences) if score != difference]
    assert both[6:] == pytest.approx((100 * both.difference / (found.score - both.difference), *np.quantile(relative, [0.025, 0.975])))
    nothing = np.array([[[1, 0], [2, 0]]])
    assert all(map(np.isnan, [*interval(share, nothing), *compare(share, nothing, nothing)]))
    # An exchange after which one system has nothing to count has no difference: of 4, the 2 that put both counts on one side, which is too many.
    assert np.isnan(compare(share, np.array([[[1, 2], [0, 0]]]), np.array([[[0, 0], [1, 4]]])).p_randomisation)


@pytest.mark.parametrize(("formula", "enough"), [(share, 3), (lambda sums: sums[..., 0], 2)])  # and one that has a score of zeros
def test_few_sentences_that_say_something_give_no_interval_however_many_say_nothing(formula, enough):
    """Without any of n sentences are about exp(-n) of the resamples: 37%, 14%, 5%."""
    for number in (1, 2, 3, 10):
        one, other = (np.pad([[(count, 2.0)] * number], ((0, 0), (0, 200 - number), (0, 0))) for count in (2, 1))
        found, both = interval(formula, one), compare(formula, one, other)
        assert found.score == both.difference * 2 and both.p_randomisation == pytest.approx(2 / 2**number, abs=0.03)  # all are exchanged, or none
        assert (~np.isnan([found.low, found.high, both.low, both.high, both.p_bootstrap]) == (number >= enough)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"statistics": np.zeros((3, 2))}, r"statistics must be .* are \(3, 2\)"),
        ({"num_resamples": 0}, "must be positive, but is 0"),
        ({"confidence": 1.0}, "between 0 and 1, but is 1.0"),
    ],
)
def test_wrong_arguments_are_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        interval(share, **({"statistics": np.ones((1, 3, 2))} | arguments))
