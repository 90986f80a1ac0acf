"""Growing files go on behind what is complete, and only for the same description."""

import pytest

from speechllm_plugin.files.growing import GrowingFiles, check_description, write_description


def test_what_is_appended_stands_behind_what_is_kept(tmp_path):
    texts, index = tmp_path / "texts", tmp_path / "index"
    texts.write_bytes(b"one torn")
    index.write_bytes(b"1\n")
    files = GrowingFiles({texts: 3, index: 2})
    files.append({texts: b" two", index: b"2\n"})
    assert (texts.read_bytes(), index.read_bytes()) == (b"one two", b"1\n2\n")  # before it is closed
    files.append({texts: b" three"})
    files.close()
    assert texts.read_bytes() == b"one two three"


def test_a_description_is_readable_json_and_ends_with_its_line(tmp_path):
    write_description(tmp_path / "d.json", {"teacher": "wört", "k": 2})
    assert (tmp_path / "d.json").read_text(encoding="utf-8") == '{\n "teacher": "wört",\n "k": 2\n}\n'


@pytest.mark.parametrize(
    ("begun", "message"),
    [
        ({"k": 3, "beam": 5}, "f: was begun with k 3, but now it is 2: remove it"),
        ({"k": 2}, "f: was begun with beam None, but now it is 5: remove it"),
        ({"k": 2, "beam": 5, "more": 1}, "f: was begun with more 1, but now it is None: remove it"),
    ],
)
def test_another_description_is_refused_with_its_first_difference(begun, message):
    check_description("f", {"beam": 5, "k": 2}, {"k": 2, "beam": 5}, "remove it")
    with pytest.raises(ValueError) as error:
        check_description("f", begun, {"k": 2, "beam": 5}, "remove it")
    assert str(error.value) == message
