"""A file is written whole or not at all, and the one that cannot be written is named."""

import errno
import os

import pytest

from speechllm_plugin.files.atomic import remove_partial, replacing


def test_a_file_that_fails_half_way_stays_as_it_was(tmp_path):
    (tmp_path / "a").write_text("before")
    with pytest.raises(KeyError), replacing(tmp_path / "a") as part:
        part.write_text("half")
        raise KeyError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "before")]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_full_disk_names_the_file(tmp_path, number):
    with pytest.raises(OSError) as error, replacing(tmp_path / "a"):
        raise OSError(number, os.strerror(number))  # of write(), which knows no name
    assert (error.value.errno, error.value.filename) == (number, str(tmp_path / "a"))


def test_two_writers_of_a_file_have_partial_files_of_their_own(tmp_path):
    with replacing(tmp_path / "a") as one, replacing(tmp_path / "a") as other:
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "a").read_text() == "1" and len(list(tmp_path.iterdir())) == 1


def test_only_partial_files_are_removed(tmp_path):
    stay = ["a", ".a", ".a.tmp", ".prepare.json", "x.12-0123abcd.tmp"]
    for name in [*stay, ".a.12-0123abcd.tmp", ".b.c.12.tmp"]:
        (tmp_path / name).touch()
    remove_partial(tmp_path, "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*stay, ".b.c.12.tmp"])
    remove_partial(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)
