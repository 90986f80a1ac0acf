"""Tables as text: every line has as many cells as the headings, and texts of the data cannot add any."""

import re

import pytest

from speechllm_plugin.files.text_table import aligned, aligned_row, bars_escaped, markdown, markup_escaped


def num_cells(line):
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_a_terminal_shows_columns_below_one_another():
    lines = aligned(["system", "WER"], [["dfp", "10.68"], ["cross-attention", "6.9"]])
    assert lines == ["system             WER", "dfp              10.68", "cross-attention    6.9"]
    assert aligned(["a", "b"], []) == ["a  b"]


def test_a_line_has_the_widths_that_are_given():
    assert aligned_row(["a", "b", "c | d"], [-3, 4]) == "a       b  c | d"
    assert aligned_row(["long", "b"], [-2, 3, 5], between="") == "long  b"


@pytest.mark.parametrize("rules, expected", [(None, "|---|---|"), ([":--", "--:"], "| :-- | --: |")])
def test_markdown_has_headings_a_rule_and_rows(rules, expected):
    lines = markdown(["system", "WER"], [["dfp", "1"], ["xattn", ""]], rules)
    assert lines == ["| system | WER |", expected, "| dfp | 1 |", "| xattn |  |"]


@pytest.mark.parametrize("escaped", [bars_escaped, markup_escaped])
@pytest.mark.parametrize("text", ["a|b", "||", "a\\n|", "<b>|[x](y)"])
def test_a_bar_in_a_text_makes_no_cell(escaped, text):
    assert {num_cells(line) for line in markdown(["text", "n"], [[escaped(text), "1"]])} == {2}


def test_markup_of_a_text_is_shown_and_bars_alone_leave_it():
    assert markup_escaped("a *b* [l](u)\n <c>") == r"a \*b\* [l]\(u) \<c\>"
    assert bars_escaped("`a` | *b*") == r"`a` \| *b*"
