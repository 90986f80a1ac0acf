"""The report: which translations are suspicious, how monotone texts are, and what stands in the two files."""

import json
import random

import pytest

from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.distillation import summary
from speechllm_plugin.distillation.text_checks import monotony, problems, usual_scripts


def row(name, source, target, language="de"):
    return Utterance(name, "a.wav", 10, target, src_text=source, src_lang="en", tgt_lang=language)


ROWS = [
    row("plain", "one two three", "eins zwei drei"),
    row("name", "Paris is large", "Paris ist groß"),
    row("same", "OK, Peter.", "OK, Peter."),
    row("russian", "good day", "добрый день", "ru"),
    row("japanese", "good day", "こんにちは世界", "ja"),
]
SCRIPTS = usual_scripts(ROWS)


def test_scripts_are_those_of_the_references():
    assert {"de": {"LATIN"}, "ru": {"CYRILLIC"}, "ja": {"HIRAGANA", "HAN"}} == SCRIPTS
    rare = [row(str(number), "x", "lange deutsche Texte " * 10) for number in range(20)] + [row("y", "x", "Москва")]
    assert usual_scripts(rare) == {"de": {"LATIN"}}


@pytest.mark.parametrize(
    ("number", "text", "expected"),
    [
        (0, "eins zwei drei", []),
        (0, "", ["empty"]),
        (0, " \u3000 ", ["empty"]),
        (0, "One, two: three!", ["copy"]),
        (2, "OK, Peter.", []),  # the reference is the source, too
        (0, "один два три", ["script"]),
        (3, "dobry den", ["script"]),
        (3, "добрый день, John", []),
        (4, "こんにちは", []),
        (0, "eins zwei drei " * 3, ["length"]),
        (0, "eins", []),  # half, but few characters
        (1, "Paris is large " * 4, ["length"]),
        (3, "good day", ["copy", "script"]),
    ],
)
def test_suspicious_translations_are_told_by_their_text(number, text, expected):
    assert problems(ROWS[number], text, SCRIPTS[ROWS[number].tgt_lang]) == expected


def test_monotony_is_that_of_the_alignment():
    """Every source word has one translation, so that the alignment is known: in order, reversed, or drawn."""
    rng = random.Random(0)
    sources = [rng.sample(range(30), rng.randint(3, 9)) for _ in range(150)]

    def pairs(order):
        orders = [order(list(range(len(source)))) for source in sources]
        texts = [([f"s{w}" for w in source], [f"t{source[p]}" for p in places]) for source, places in zip(sources, orders)]
        steps = [after > before for places in orders for before, after in zip(places, places[1:])]
        return texts, sum(steps) / len(steps)

    for order in (lambda places: places, lambda places: places[::-1], lambda places: rng.sample(places, len(places))):
        texts, expected = pairs(order)
        assert monotony(texts) == pytest.approx(expected, abs=0.01)
    assert monotony([(["one"], ["eins"]), ([], [])]) is None


def test_the_report_counts_and_lists(tmp_path):
    texts = [[(-1.0, "eins zwei drei"), (-2.0, "")], [(-1.5, "Paris is large"), (-2.5, "a|b")]]
    facts = summary.make(ROWS[:2], texts, mode="kbest")
    assert facts["problems"] == {"empty": 1, "copy": 1, "script": 0, "length": 0}
    assert (facts["num_utterances"], facts["num_translations"], facts["same_as_reference"], facts["mean_score"]) == (2, 4, 1, -1.75)
    assert [(entry["id"], entry["rank"]) for entry in facts["suspicious"]] == [("plain", 2), ("name", 1)]
    markdown, machine = summary.write(tmp_path / "about.md", facts)
    assert json.loads(machine.read_text())["suspicious"][1]["kd_text"] == "Paris is large"
    assert "| name | 1 | copy | Paris is large | Paris ist groß | Paris is large |" in markdown.read_text(encoding="utf-8")
    assert "| mode | kbest |" in markdown.read_text(encoding="utf-8")


def test_markup_in_listed_texts_stays_text():
    text = "<script>alert(1)</script> [link](https://example.org) `code`"
    markdown = summary.as_markdown(summary.make([row("<b>", text, "etwas anderes")], [[(-1.0, text)]], mode="kbest"))
    assert "alert(1)" in markdown  # as it is listed for being a copy
    for active in ("<script>", "</script>", "<b>", "[link](", "`code`"):
        assert active not in markdown


def test_words_are_those_of_the_scores_in_every_script(tmp_path):
    """Of languages without blanks every letter is a word; marks and apostrophes belong to theirs."""
    texts = {"th": "ที่นี่", "lo": "ຂອບໃຈ", "km": "ភាសា", "my": "မြန်မာ", "ja": "3人です", "hi": "हिन्दी भाषा", "en": "don't stop", "fr": "l'homme"}
    numbers = {"th": 2, "lo": 5, "km": 2, "my": 3, "ja": 4, "hi": 2, "en": 2, "fr": 2}
    for language, text in texts.items():
        facts = summary.make([row("a", "one two", text, language)], [[(-1.0, text)]])
        assert facts["mean_words"] == facts["mean_words_of_references"] == numbers[language], language
        assert facts["monotony"] is not None


def test_a_language_without_references_is_said_to_be_unchecked():
    facts = summary.make([row("a", "one two", "", "xx")], [[(-1.0, "eins zwei")]])
    assert facts["not_checked_for_script"] == ["xx"] and facts["bleu_against_references"] is None
    assert "no reference has a letter: xx." in summary.as_markdown(facts)
