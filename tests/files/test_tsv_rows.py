"""Rows of TSV files: every row with its place, and what is wrong with a file in one line that names the place."""

import pytest

from speechllm_plugin.files.tsv_rows import rows


def read(path, text, needed=("id",), **options):
    path.write_bytes(text.encode())
    return list(rows(path, needed, absent="no such list; write one", **options))


def test_rows_have_their_place_and_all_columns(tmp_path):
    path = tmp_path / "a.tsv"
    found = read(path, 'more\tid\n"quoted\ta\\tb\n\n\tü\n')
    assert found == [(f"{path}:2", {"more": '"quoted', "id": "a\\tb"}), (f"{path}:4", {"more": "", "id": "ü"})]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_end_of_line_ends_a_row(end, tmp_path):
    assert [row for _, row in read(tmp_path / "a.tsv", end.join(["id\tx", "1\t2", "3\t4"]))] == [{"id": "1", "x": "2"}, {"id": "3", "x": "4"}]


def test_a_spreadsheets_mark_is_no_part_of_the_first_column_unless_the_encoding_says_so(tmp_path):
    assert read(tmp_path / "a.tsv", "\ufeffid\n1\n")[0][1] == {"id": "1"}
    with pytest.raises(ValueError, match=r"a.tsv:1: column 'id' is missing; .* but has '\\ufeffid'"):
        read(tmp_path / "a.tsv", "\ufeffid\n1\n", encoding="utf-8")


def test_an_escaped_separator_is_text(tmp_path):
    assert read(tmp_path / "a.tsv", "id\tx\na\\\tb\tc\n", escapechar="\\")[0][1] == {"id": "a\tb", "x": "c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.tsv:1: column 'id' is missing; the header must have id, separated by tabs, but has nothing"),
        ("x\ty\n", "a.tsv:1: column 'id' is missing; the header must have id, separated by tabs, but has 'x' 'y'"),
        ("id\tx\tx\n", "a.tsv:1: column 'x' stands twice; rename or remove one"),
        ("id\tx\n1\t2\n1\n", "a.tsv:3: the row must have 2 fields as the header has, but has 1; fields are separated by one tab ('1' ...)"),
        ("id\n" + "x" * 200_000, "a.tsv:2: not a readable row (field larger than field limit (131072)); correct the row"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, message, tmp_path):
    with pytest.raises(ValueError) as error:
        read(tmp_path / "a.tsv", text)
    assert str(error.value) == f"{tmp_path}/{message}"


def test_another_encoding_and_a_missing_file_are_errors_with_the_file(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"id\n\xff\n")
    with pytest.raises(ValueError, match="a.tsv: must be UTF-8, but is not"):
        list(rows(tmp_path / "a.tsv", ["id"], absent=""))
    with pytest.raises(FileNotFoundError, match="b.tsv: no such list; write one$"):
        list(rows(tmp_path / "b.tsv", ["id"], absent="no such list; write one"))
