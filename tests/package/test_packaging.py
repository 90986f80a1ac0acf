"""What the package needs is declared and pinned, and what it consists of is in the wheel."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import speechllm_plugin

ROOT = Path(__file__).resolve().parents[2]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = DECLARED["project"]
EXTRAS = PROJECT["optional-dependencies"]
FOLDERS = ("speechllm_plugin", "tests", "recipes", "examples")
BUILT_FROM_SOURCE = DECLARED["tool"]["speechllm_plugin"]["built-from-source"]
# Imported where it is installed, and not declared: no release of it goes with the pinned numpy; the error says how to install it.
IN_ITS_OWN_ENVIRONMENT = {"comet"}
WITH_GPUS = {"triton"}  # a requirement of torch's builds for GPUs, in the version that goes with each; nothing imports it elsewhere


def normalised(name):
    """As indexes compare the names of distributions."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_libraries(*folders):
    """Top-level names of what is neither in the standard library nor a file of ours."""
    found, ours = set(), {path.stem for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")} | {"speechllm_plugin"}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module.split(".")[0])
    return found - ours - set(sys.stdlib_module_names)


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_imported_is_declared(folder):
    declared = {normalised(Requirement(text).name) for text in [*PROJECT["dependencies"], *BUILT_FROM_SOURCE, *chain(*EXTRAS.values())]}
    libraries, installed = imported_libraries(folder) - IN_ITS_OWN_ENVIRONMENT - WITH_GPUS, packages_distributions()
    if folder == "speechllm_plugin":
        assert {"torch", "fairseq", "scipy", "yaml"} <= libraries <= installed.keys()
    for library in libraries & installed.keys():
        assert {normalised(name) for name in installed[library]} & declared, f"{folder} imports {library}, but pyproject.toml does not name it"


def test_what_is_declared_is_pinned_to_a_version_that_it_allows():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line)
    assert all(normalised(name) == name for name in pinned)
    for requirement in map(Requirement, [*PROJECT["dependencies"], *BUILT_FROM_SOURCE, *chain(*EXTRAS.values())]):
        assert requirement.specifier.contains(Version(pinned[normalised(requirement.name)])), requirement


def test_the_wheel_has_every_file_of_the_package(tmp_path):
    sources = tmp_path / "sources"
    shutil.copytree(ROOT / "speechllm_plugin", sources / "speechllm_plugin", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, sources]
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(path.relative_to(ROOT)) for path in (ROOT / "speechllm_plugin").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert expected <= packed and {Path(name).suffix for name in expected} >= {".py", ".yaml", ".html", ".css"}
    assert any(name.endswith("licenses/LICENSE") for name in packed)


def test_the_citation_names_this_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["title"], str(citation["version"]), citation["license"]) == (PROJECT["name"], speechllm_plugin.__version__, PROJECT["license"])
    assert citation["cff-version"] == "1.2.0" and "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert [author["family-names"] for author in citation["references"][0]["authors"]] == ["Lam", "Gaido", "Papi", "Bentivogli", "Haddow"]
