"""Imports point down, files stay short: read from the sources, nothing is executed."""

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "speechllm_plugin"
MAX_LINES = 300

# The rooms of the package: each may import those that stand below it, and nothing else.
ORDER = [
    "commands",
    "experiments",
    "reporting",
    "checking",
    "benchmarking",
    "simultaneous",
    "transcription",
    "exporting",
    "describing",
    "distillation",
    "inspection",
    "preparation",
    "tasks",
    "criterions",
    "optim",
    "scoring",
    "outputs",
    "data",
    "models",
    "generation",
    "files",
    "host",
    "text",
]
# What the order would allow, but what keeps two rooms independent of each other.
NEVER = {"data": {"models", "generation"}, "criterions": {"tasks"}, "models": {"host"}}
MAY_IMPORT_FAIRSEQ = {
    "host",
    "tasks",
    "criterions",
    "optim",
    "models.config",
    "models.speech_to_text",
    "models.speech_encoder",
    "models.decoder_base",
    "models.text_decoder",
    "models.registry",
    "benchmarking.searches",
    "benchmarking.stock_decoder",
    "checking.searching",
    "inspection.trained_model",
    "describing.model_file",
    "data.speech_dataset",
    "data.row_dataset",
    "distillation.fairseq_teacher",
}
# Neither fairseq nor torch, also not through what they import.
LIGHT = {"commands.cli", "commands.translate", "experiments", "files.atomic", "scoring", "data.manifest", "outputs", "preparation", "text"}
FORBIDDEN_NAMES = {"utils", "common", "helpers", "misc"}


def module_name(path):
    """`models.config` for speechllm_plugin/models/config.py, `models` for its __init__.py, `__init__` for the package's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@functools.cache
def imported_names(module):
    """Dotted names that a module imports anywhere in its source, with `from a import b` as a.b, relative ones resolved."""
    path, names = SOURCES[module], []
    package = ["speechllm_plugin", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, node.module] if node.module else base
            names += [".".join([*base, alias.name]) for alias in node.names]
    return names


@functools.cache
def imported_modules(module):
    """The modules of the package among them: `from speechllm_plugin.data.manifest import read` is data.manifest; its version is of none."""
    modules = set()
    for name in imported_names(module):
        parts = name.split(".")
        if parts[0] == "speechllm_plugin" and parts[1:] != ["__version__"]:
            inner = [".".join(parts[1:length]) for length in range(len(parts), 1, -1)]
            modules.add(next((candidate for candidate in inner if candidate in SOURCES), "__init__"))
    return modules


def imported_libraries(module):
    return {name.split(".")[0] for name in imported_names(module)} - {"speechllm_plugin"}


def part(module):
    return module.split(".")[0]


def below(module):
    """All that an import of the module runs: what it imports, what those import, and the packages that they lie in."""
    seen, waiting = set(), [module]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += imported_modules(current)
            waiting += [current.rpartition(".")[0]] if "." in current else []
    return seen


def listed(module, names):
    return module in names or part(module) in names


@pytest.mark.parametrize("module", SOURCES)
def test_a_part_imports_only_the_parts_below_it(module):
    if module == "__init__":
        return
    assert part(module) in ORDER, f"add {part(module)} to ORDER"
    others = {part(imported) for imported in imported_modules(module)} - {part(module)}
    assert others <= set(ORDER[ORDER.index(part(module)) + 1 :]) - NEVER.get(part(module), set())


@pytest.mark.parametrize("module", SOURCES)
def test_no_module_imports_itself_through_others(module):
    reached, waiting = set(), list(imported_modules(module))
    while waiting:
        current = waiting.pop()
        if current not in reached:
            reached.add(current)
            waiting += imported_modules(current)
    assert module not in reached


@pytest.mark.parametrize("module", SOURCES)
def test_only_the_parts_that_talk_to_fairseq_import_it(module):
    if not listed(module, MAY_IMPORT_FAIRSEQ):
        assert not imported_libraries(module) & {"fairseq", "fairseq_cli"}


@pytest.mark.parametrize("module", [module for module in SOURCES if listed(module, LIGHT)])
def test_scoring_and_manifests_wait_for_neither_torch_nor_fairseq(module):
    for reached in below(module):
        assert not imported_libraries(reached) & {"torch", "fairseq", "fairseq_cli"}, reached


def test_the_sources_are_read_as_python_would():
    assert {"data.manifest", "scoring.metrics"} <= set(imported_modules("commands.score"))
    assert below("commands.score") >= {"data", "data.manifest", "scoring", "text.normalisation"}
    assert imported_libraries("files.averaging") - sys.stdlib_module_names == {"torch"}


@pytest.mark.parametrize(
    "path",
    [
        path
        for folder in ("speechllm_plugin", "tests", "recipes", "examples")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".sh")
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_files_are_short_and_named_after_what_they_do(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    assert path.stem not in FORBIDDEN_NAMES
