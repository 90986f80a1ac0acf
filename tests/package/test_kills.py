"""A few kills of the commands that start quickly, as tests/kills.py does many, and of what it would tell."""

import random

import kills
import pytest

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kills")


@pytest.mark.parametrize(("name", "number"), [("prepare", 3), ("train", 1)])
def test_kills_lose_nothing_and_leave_nothing(folder, name, number):
    assert not kills.torment(name, folder, number, random.Random(number))


def test_what_differs_or_stays_is_told(tmp_path):
    for folder, content in (("a", "1"), ("b", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.tsv").write_text(content)
    (tmp_path / "b/.x.tsv.1-0123abcd.tmp").touch()
    (tmp_path / "b/new.tsv").touch()
    assert kills.same_files(tmp_path / "a", tmp_path / "b", ["*.tsv"]) == ["new.tsv: only in one", "x.tsv: differs"]
    assert kills.unfinished(tmp_path) == ["b/.x.tsv.1-0123abcd.tmp"]
