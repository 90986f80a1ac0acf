"""Sentences in the output of fairseq-generate: their lines belong together, whatever stands between and within them."""

import pytest

from speechllm_plugin.outputs.generated_sentences import Sentence, read_sentences


def read(tmp_path, *lines, end="\n"):
    (tmp_path / "out.txt").write_bytes((end.join(lines) + end).encode())
    return read_sentences([tmp_path / "out.txt"])


def test_a_sentence_has_its_source_its_target_and_its_hypotheses(tmp_path):
    lines = ["S-7\ta b", "T-7\tx\ty", "H-7\t-1\tp", "D-7\t-1.5\tone", "P-7\t-1 -2", "H-7\t-2\tp", "D-7\t-2\ttwo", "P-7\t-1"]
    assert read(tmp_path, "a log line", *lines, "Generate test") == [Sentence(7, "a b", "x\ty", [(-1.5, "one"), (-2, "two")])]
    assert read(tmp_path, *lines, end="\r\n") == [Sentence(7, "a b", "x\ty", [(-1.5, "one"), (-2, "two")])]


@pytest.mark.parametrize("between", [["S-0\ts"], ["T-0\tt"], ["a line"], ["H-1\t-1\tx", "D-1\t-1\tb", "P-1\t-1"]])
def test_a_row_that_was_decoded_twice_is_there_twice(between, tmp_path):
    found = read(tmp_path, "D-0\t-1\ta", *between, "D-0\t-1\tc")
    assert [sentence.hypotheses for sentence in found if sentence.row == 0] == [[(-1, "a")], [(-1, "c")]]
    (tmp_path / "shard.txt").write_text("D-0\t-1\ta\n")
    assert len(read_sentences([tmp_path / "shard.txt"] * 2)) == 2


def test_line_separators_of_unicode_and_empty_texts_stay_in_their_hypothesis(tmp_path):
    found = read(tmp_path, "D-1\t-0.5\ta\u2028b\u0085c\td", "D-0\t-0.5\t")
    assert [(sentence.row, sentence.hypotheses) for sentence in found] == [(1, [(-0.5, "a\u2028b\u0085c\td")]), (0, [(-0.5, "")])]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("D-0\t-1", "a D- line needs row, score and text"),
        ("D-0\thigh\tx", "a D- line needs row, score and text"),
        ("D-x\t-1\tx", "a D- line needs row, score and text"),
        ("D-0", "a D- line needs row, score and text"),
        ("H-0\t-1\tx", "no D- line; give a file that holds the output of fairseq-generate"),
    ],
)
def test_what_cannot_be_read_is_an_error(line, message, tmp_path):
    with pytest.raises(ValueError, match=rf"out.txt(:1)?: {message}"):
        read(tmp_path, line)
