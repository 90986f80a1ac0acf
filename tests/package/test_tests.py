"""Tests can be moved, read and run alone: what several of them need lies in tests/support."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
MODULES = sorted(TESTS.rglob("test_*.py"))


def imported_names(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", [*MODULES, *sorted((TESTS / "support").glob("*.py"))], ids=lambda path: path.stem)
def test_no_test_is_imported(path):
    assert not set(imported_names(path)) & {module.stem for module in MODULES}


def test_no_two_files_of_tests_have_the_same_name():
    """Python would take the one for the other."""
    assert len({path.name for path in MODULES}) == len(MODULES) > 50


def test_the_folders_of_tests_are_rooms_of_the_package():
    rooms = {path.name for path in (TESTS.parent / "speechllm_plugin").iterdir() if path.is_dir()}
    folders = {path.parent.relative_to(TESTS).as_posix() for path in MODULES}
    assert folders - rooms <= {"package"}
