"""A part that another module adds to PARTS: in the page, in --tables, and computed once."""

import re
import sys

import pytest
import synthetic_runs

from speechllm_plugin.commands import cli
from speechllm_plugin.reporting.analysis import analyse
from speechllm_plugin.reporting.facts import FACTS, given
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.part import HEADER
from speechllm_plugin.reporting.parts import PARTS
from speechllm_plugin.reporting.results import Settings
from speechllm_plugin.reporting.runs import read_study

MODULE = '''
"""How many words the systems write."""

from speechllm_plugin.reporting.figures.svg import draw
from speechllm_plugin.reporting.part import Content, Part
from speechllm_plugin.reporting.tables.table import Column, Section, Table

calls = []


def output_words(study, scores):
    calls.append(study.split)
    numbers = {system.name: sum(len(text.split()) for text in system.runs[0].hypotheses) for system in study.systems}
    rows = [[name, f"{number:,}", scores.main.heading] for name, number in numbers.items()]
    columns = [Column("system", is_text=True), Column("words"), Column("main metric")]
    return Content([Table("output_words", "Words of the <outputs>", columns, [Section("", rows)])], numbers)


def word_bars(study, numbers):
    return [draw("Words", f"Words of {len(numbers)} systems.", 100, lambda axes: axes.bar(list(numbers), list(numbers.values())))]


PART = Part("Words & outputs", ("study", "scores"), output_words, word_bars, written=("output_words",), link="Outputs")
SHARE = Part("Words again", ("output_words",), lambda output_words: Content([Table("again", "Again", [Column("n")], [Section("", [["7"]])])]),
             within="output_words")
NOTHING = Part("Nothing to see", ("study",), lambda study: None)
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "output_words_part.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import output_words_part

    yield output_words_part
    del sys.modules["output_words_part"]


def test_one_file_and_one_entry_make_a_part_of_the_page_and_of_the_tables(tmp_path, module, monkeypatch):
    for name, part in {"output_words": module.PART, "again": module.SHARE, "nothing": module.NOTHING}.items():
        monkeypatch.setitem(PARTS, name, part)
    runs = synthetic_runs.make(tmp_path, utterances=12, training=50)
    options = ["--resamples", "50", "--no-audio", "--examples", "0", "--slices", "gender", "--tables", str(tmp_path / "tables")]
    assert cli.main(["report", *map(str, runs), "--out", str(tmp_path / "r.html"), *options]) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    section = re.search(r'<section id="output_words">(.*?)</section>', page, re.DOTALL)[1]
    assert "<h2>Words &amp; outputs</h2>" in section and '<a href="#output_words">Outputs</a>' in page
    assert '<table id="table-output_words">' in section and "Words of the &lt;outputs&gt;" in section and "<svg" in section
    assert "<h3>Words again</h3>" in section and '<table id="table-again">' in section
    assert "Nothing to see" not in page
    texts = re.findall(r"(?m)^D-\d+\t\S+\t(.*)$", (runs[0] / f"generate-{synthetic_runs.SPLIT}.txt").read_text())
    expected = sum(len(text.split()) for text in texts)
    table = (tmp_path / "tables/output_words.md").read_text(encoding="utf-8")
    assert f"| dfp-seed1 | {expected:,} | WER norm. |" in table and (tmp_path / "tables/output_words.tex").is_file()
    assert not (tmp_path / "tables/again.md").exists()
    assert module.calls == [synthetic_runs.SPLIT]


def test_parts_need_only_what_there_is_and_stand_within_parts_above(tmp_path):
    study = read_study([str(run) for run in synthetic_runs.make(tmp_path, utterances=12, training=50)], None, None)
    names = [*given(study, Options()), *FACTS, *PARTS]
    assert len(names) == len(set(names))
    for name, entry in (FACTS | PARTS).items():
        assert set(entry.needs) <= set(names), name
    above = [HEADER, ""]
    for name, part in PARTS.items():
        assert part.within in above, name
        above.append(name)


def test_no_two_parts_write_the_same_table():
    written = [table for part in PARTS.values() for table in part.written]
    assert len(written) == len(set(written))


def test_an_analysis_computes_what_its_parts_need_and_nothing_else(tmp_path):
    study = read_study([str(run) for run in synthetic_runs.make(tmp_path, utterances=12, training=50)], None, None)
    steps = []

    def watch(names):
        for name in names:
            steps.append(name)
            yield name

    analysis = analyse(study, Options(settings=Settings(20)), {name: PARTS[name] for name in ("languages", "scores", "speed")}, watch)
    assert steps == ["metrics", "scores", "languages", "speed"]
    assert [table.name for table in analysis.tables] == ["scores", "speed"] and list(analysis.contents) == ["scores", "speed"]
    assert analysis["languages"] is None
