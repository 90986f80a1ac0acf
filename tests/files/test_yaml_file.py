"""YAML is data: whatever a file holds, its value comes out, or one line within a second."""

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from speechllm_plugin.files import yaml_file

LEVELS = range(1, 30)
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in LEVELS)
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}\n" for level in LEVELS)


def read(folder, text):
    path = folder / "some.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return yaml_file.read(path, absent="no such file")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 10**6, "line 1: more than 50 collections in each other"),
        ("- " * 10**5 + "x", "line 1: more than 50 collections in each other"),
        ("{a: " * 10**5, "line 1: more than 50 collections in each other"),
        ("\n".join(" " * level + "a:" for level in range(3000)), "line 51: more than 50 collections in each other"),
        (BOMB, "line 5: aliases (*a3) stand for more than 10,000 values"),
        (MERGED, "line 5: aliases (*a3) stand for more than 10,000 values"),
        ("&a [*a]", "the alias *a stands for nothing, or for what it is part of"),
        ("a: 1\nb: 2\na: 3", "line 3: each key must stand once, but 'a' stands twice"),
        ("- {wav: a, wav: b}", "line 1: each key must stand once, but 'wav' stands twice"),
        ("a: !!python/object/apply:os.system [touch ran]", "could not determine a constructor"),
        ("a: " + "9" * 5000, "4300 digits"),
        ("a: 2024-13-45", "month must be in 1..12"),
        ("a: !!int ''", "string index out of range"),
        ("a: \0", "control characters are not allowed"),
        ("a: 1\n---\nb: 2", "expected a single document"),
        (b"a: \xff", "must be UTF-8"),
    ],
)
def test_what_is_no_plain_data_is_one_line_at_once(tmp_path, text, problem):
    start = time.monotonic()
    with pytest.raises(ValueError) as error:
        read(tmp_path, text)
    assert time.monotonic() - start < 1
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/some.yaml: ") and problem in message and "\n" not in message and len(message) < 600


def test_aliases_and_equal_keys_of_several_mappings_keep_their_meaning(tmp_path):
    text = "a: &x {k: [1, 2]}\nb: *x\nc: [&y z, *y]\nd: {<<: *x, e: 3}"
    assert read(tmp_path, text) == yaml.safe_load(text) == {"a": {"k": [1, 2]}, "b": {"k": [1, 2]}, "c": ["z", "z"], "d": {"k": [1, 2], "e": 3}}


VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_what_yaml_writes_is_read_back(tmp_path_factory, value):
    assert read(tmp_path_factory.getbasetemp(), yaml.safe_dump(value)) == value


@given(some.binary(max_size=60) | some.text("[]{}:-&*!|>'\"#%?, \nab<=1.~", max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_value_or_one_line(tmp_path_factory, content):
    try:
        read(tmp_path_factory.getbasetemp(), content)
    except ValueError as error:
        assert "\n" not in str(error)
