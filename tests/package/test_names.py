"""A name says one thing: no two files and no two module-level tables of the package have the same."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "speechllm_plugin"
# What Python or fairseq fixes, and what every module has as its own.
SHARED_FILES = {"__init__.py", "__main__.py"}
SHARED_NAMES = {"__all__", "logger"}


def doubled(places_of):
    return {name: places for name, places in places_of.items() if len(places) > 1}


def assigned_names(source):
    """The names that a module binds by assignment at its top, without those that are its own matter (_name)."""
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        for target in targets:
            yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store))


def test_no_two_files_have_the_same_name():
    places_of = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and path.name not in SHARED_FILES:
            places_of[path.name].append(str(path.relative_to(PACKAGE)))
    assert len(places_of) > 100 and not doubled(places_of)


def test_no_two_tables_have_the_same_name():
    places_of = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in sorted(set(assigned_names(path.read_text(encoding="utf-8")))):
            if not name.startswith("_") and name not in SHARED_NAMES:
                places_of[name].append(str(path.relative_to(PACKAGE)))
    assert {"CORPORA", "COMPRESSIONS"} <= set(places_of) and not doubled(places_of)
