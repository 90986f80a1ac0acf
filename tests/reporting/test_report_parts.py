"""Parts of a report: numbers as text, tables in three notations, pictures, words side by side."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.outputs.logs import DecodingLog, TrainingLog
from speechllm_plugin.reporting.breakdown import Row
from speechllm_plugin.reporting.example_rows import example_rows
from speechllm_plugin.reporting.figures import svg
from speechllm_plugin.reporting.figures.forest import axis_half_width, forest
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.parts import slice_part, speed_part, verdict_part
from speechllm_plugin.reporting.parts.utterance_part import aligned, edits_of
from speechllm_plugin.reporting.results import Quantity, Result, Settings, evaluate, loss_of_sentences, mean_over
from speechllm_plugin.reporting.study import Run, Study, System
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.reporting.tables.comparison_table import comparison_table
from speechllm_plugin.reporting.tables.table import Cell, Column, Section, Table, latex, markdown
from speechllm_plugin.scoring import significance
from speechllm_plugin.scoring.holm import holm
from speechllm_plugin.scoring.share import share
from speechllm_plugin.scoring.significance import Comparison

SETTINGS = Settings(num_resamples=200)


def test_a_picture_has_no_control_characters_of_its_texts():
    chart = svg.draw("a\x02title", "text", 100, lambda axes: axes.set_xlabel("mexi\x02can"))
    assert "mexican" in chart.svg


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.number(1234.5), "1,234.50"),
        (formats.number(-0.001), "0.00"),
        (formats.number(float("nan")), "–"),
        (formats.difference(0.4), "+0.40"),
        (formats.difference(-0.4), "−0.40"),
        (formats.difference(-0.001), "0.00"),
        (formats.interval(-1, 2, signed=True), "[−1.00, +2.00]"),
        (formats.interval(float("nan"), 2), "–"),
        (formats.p_value(0.0004), "< 0.001"),
        (formats.p_value(1.0), "1.000"),
        (formats.p_equation(0.034), "p = 0.034"),
        (formats.duration(90), "90.0 s"),
        (formats.duration(9000), "2.5 h"),
        (formats.enumeration(["a"]), "a"),
        (formats.enumeration("abc"), "a, b and c"),
    ],
)
def test_numbers_as_text(text, expected):
    assert text == expected


HOSTILE = r"a_b|c<i>$x$ 5% & #{~^\ [l](u) − ±"
COLUMNS = [Column("name", is_text=True), Column("score", "A & B"), Column("p", "A & B")]
TABLE = Table("t", "Cap_tion", COLUMNS, [Section("Part_1", [[HOSTILE, Cell("1.0", True), "< 0.1"]])], ["A note."])


def test_markdown_has_as_many_cells_in_every_line_and_no_markup_of_the_data():
    lines = markdown(TABLE).splitlines()
    assert lines[0] == r"**Cap\_tion**" and lines[-1] == "A note."
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines[2:6]] == [4, 4, 4, 4]
    assert lines[5] == r"| a\_b\|c\<i\>$x$ 5% & #{\~^\\ [l]\(u) − ± | **1.0** | \< 0.1 |"
    assert lines[2] == "| name | A & B score | A & B p |" and lines[3] == "| :-- | --: | --: |"


def test_latex_escapes_what_has_a_meaning_there():
    text = latex(TABLE)
    hostile = r"a\_b\textbar{}c\textless{}i\textgreater{}\$x\$ 5\% \& \#\{\textasciitilde{}\textasciicircum{}\textbackslash{} {[}l{]}(u) $-$ $\pm$"
    assert rf"{hostile} & \textbf{{1.0}}" in text
    assert r" & \multicolumn{2}{c}{A \& B} \\" in text and r"\cmidrule(lr){2-3}" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert all(line.count("%") == 0 or line.startswith("%") or r"\%" in line for line in text.splitlines())


def test_charts_of_one_page_share_no_id_and_texts_stay_texts():
    def plot(axes):
        axes.plot([1, 2, 3], [1, 3, 2], marker="o", label="$a$ & <b>")
        axes.legend()

    one, other = svg.draw("One", "first", 200, plot), svg.draw("Two", 'second <&">', 200, plot)
    ids = [re.findall(r' id="([^"]+)"', chart.svg) for chart in (one, other)]
    assert ids[0] and not set(ids[0]) & set(ids[1])
    for chart, own in zip((one, other), ids):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', chart.svg)) == set(own)
        assert "$a$ &amp; &lt;b&gt;</text>" in chart.svg
        assert "http" not in chart.svg and "font-family" not in chart.svg and "<style" not in chart.svg
    assert 'role="img" aria-label="second &lt;&amp;&quot;&gt;"' in other.svg


def quantity(first, second, lower_is_better=True):
    return Quantity("rate", lower_is_better, share, [np.asarray(first, float), np.asarray(second, float)])


def random_counts(rng, errors, num_rows=60, num_seeds=2):
    length = rng.integers(5, 15, num_rows)
    return np.stack([np.stack([rng.poisson(errors, num_rows), length], axis=-1) for _ in range(num_seeds)])


def test_results_are_those_of_the_significance_tests_and_the_winner_is_the_better_one():
    rng = np.random.default_rng(1)
    good, bad = random_counts(rng, 1), random_counts(rng, 3)
    quantities = [quantity(good, bad), quantity(good, bad, lower_is_better=False), quantity(good, good)]
    better, worse, same = evaluate(quantities, SETTINGS)
    assert better.intervals[1] == significance.interval(share, bad, 200)
    assert better.comparisons[0] == significance.compare(share, good, bad, 200, 200)
    p_values = [result.comparisons[0].p_randomisation for result in (better, worse, same)]
    assert [result.adjusted[0] for result in (better, worse, same)] == holm(p_values).tolist()
    assert (better.winner(1), worse.winner(1), same.winner(1)) == (0, 1, None)
    assert same.comparisons[0].p_randomisation == same.comparisons[0].p_bootstrap == 1


def test_the_mean_over_languages_counts_every_language_the_same():
    rng = np.random.default_rng(2)
    all_rows = quantity(random_counts(rng, 1), random_counts(rng, 3))
    first = np.arange(60) < 10
    mean = evaluate([mean_over([first, ~first], all_rows)], SETTINGS)[0]
    parts = evaluate([all_rows.of_rows("a", first), all_rows.of_rows("b", ~first)], SETTINGS)
    for system in range(2):
        assert mean.intervals[system].score == pytest.approx(np.mean([part.intervals[system].score for part in parts]))


def test_the_loss_of_a_sentence_is_what_the_corpus_would_gain_without_it():
    counts = np.array([[[0, 10], [8, 10], [1, 30]]])
    losses = loss_of_sentences(quantity(counts, counts), 0)
    without = [100 * 9 / 40, 100 * 1 / 40, 100 * 8 / 20]
    assert losses == pytest.approx([100 * 9 / 50 - each for each in without])
    assert loss_of_sentences(quantity(counts, counts, lower_is_better=False), 0) == pytest.approx(-losses)


def test_a_forest_leaves_out_empty_rows_and_says_that_it_shows_the_largest():
    rng = np.random.default_rng(3)
    results = evaluate([quantity(random_counts(rng, 1, size), random_counts(rng, 3, size)) for size in (*range(2, 32), 0)], SETTINGS)
    rows = [Row(f"slice {number}", result.quantity.num_rows, result) for number, result in enumerate(results)]
    chart = forest("Some", "rate", ["a", "b"], rows, None, axis_half_width(results))
    assert chart.note == "the 20 largest of 30"
    assert "slice 10 " in chart.description and "slice 9 " not in chart.description and "slice 30" not in chart.description
    assert re.findall(r">(slice \d+)</text>", chart.svg) == [f"slice {number}" for number in range(10, 30)]


def test_words_are_aligned_as_they_are_written():
    words = aligned("The cat, sat down", "the hat sat there down", "en", exactly=False)
    assert [tuple(word) for word in words] == [
        ("correct", "The", "the"),
        ("substitution", "cat,", "hat"),
        ("correct", "sat", "sat"),
        ("insertion", "", "there"),
        ("correct", "down", "down"),
    ]
    assert edits_of(words) == "1 substitution, 1 insertion"
    assert aligned("The cat", "the cat", "en", exactly=True)[0].operation == "substitution"
    assert edits_of(aligned("a b", "", "en", exactly=False)) == "2 deletions"
    assert edits_of(aligned("", "", "en", exactly=False)) == "empty, as the reference"


@pytest.mark.parametrize(("difference", "lower_is_better", "adjusted", "winner"), [(-1, True, 0.04, 0), (-1, False, 0.04, 1), (-1, True, 0.06, None)])
def test_who_is_better_is_told_by_what_is_corrected(difference, lower_is_better, adjusted, winner):
    comparison = Comparison(difference, -2, 0, p_bootstrap=0.01, p_randomisation=0.01, seed_deviation=np.nan)
    assert Result(Quantity("WER", lower_is_better, share, []), [], [comparison], [adjusted]).winner(1) == winner


def test_speeds_are_means_over_the_seeds_that_decoded_the_whole_set():
    utterances = [Utterance(f"u{number}", "", 500, "a") for number in range(4)]  # 20 s in all

    def run(num_sentences, sentences_per_second, num_updates, num_averaged):
        decoding = DecodingLog(None, num_sentences, 40, sentences_per_second, 10.0, 1000, None)
        training = TrainingLog({}, None, None, 0, num_updates, 60.0, num_updates and 2 * num_updates)
        return Run(Path("a"), Path("data"), [""] * 4, training, decoding, None, num_averaged)

    study = Study([System("a", [run(4, 2.0, 2500, 5), run(4, 4.0, 900, 2), run(2, 100.0, None, None)])], "test", Path("data"), utterances, None)
    (section,) = speed_part.speed(study).tables[0].sections
    assert section.rows == [["a", "900 to 2,500", "60.0 s", "2 to 5", "–", "3,400", "3.0", "10", "1.5 s", "13", "1,000", "–"]]


def test_slices_say_how_many_trials_could_tell_them_apart():
    assert slice_part._notes(3, Settings(num_resamples=119), 3)[1].endswith("take --resamples 120 or more.")
    assert len(slice_part._notes(3, Settings(num_resamples=120), 3)) == len(slice_part._notes(3, Settings(num_resamples=60), 2)) == 1


def errors_of(*numbers):
    """The statistics of one training: so many errors in ten words of each sentence."""
    return np.array([[(number, 10) for number in numbers]])


def test_the_better_system_is_bold():
    first, second = errors_of(*[1, 0, 2, 1] * 10), errors_of(*[5, 6, 4, 5] * 10)
    for systems, bold in (([first, second], [True, False]), ([second, first], [False, True]), ([first, first], [False, False])):
        [result] = evaluate([Quantity("WER", True, share, systems)], SETTINGS)
        [section] = comparison_table("t", "c", ["a", "b"], [], [("", [([], result)])]).sections
        assert [isinstance(cell, Cell) and cell.strong for cell in section.rows[0][:3:2]] == bold


def test_examples_are_the_greatest_losses_and_then_the_greatest_differences():
    quantity = Quantity("WER", True, share, [errors_of(5, 0, 4, 0), errors_of(0, 5, 0, 4)])
    study = Study([System(name, []) for name in "ab"], "test", Path("data"), [], None)
    shown = example_rows(study, SimpleNamespace(main=quantity), [], Options(num_examples=4))
    assert {row: reason.partition(":")[0] for row, reason in shown.items()} == {
        0: "among the greatest losses of a",
        1: "among the greatest losses of b",
        2: "a loses more than b",
        3: "b loses more than a",
    }


@pytest.mark.parametrize(("second_seeds", "expected"), [((5, 5), True), ((1, 10), False)])
def test_a_verdict_says_where_seeds_differ_more_than_systems(second_seeds, expected):
    first, second = (np.array([[(number, 10)] * 40 for number in seeds]) for seeds in ((0, 9), second_seeds))
    [result] = evaluate([Quantity("WER", True, share, [first, second])], SETTINGS)
    scores = SimpleNamespace(results=[result], means=[])
    outcome = verdict_part._of_pair(["a", "b"], 2, 1, scores, SimpleNamespace(filled=[]))
    assert outcome.headline == "a has significantly lower WER than b." and ("seeds vary too much" in outcome.aside) == expected
