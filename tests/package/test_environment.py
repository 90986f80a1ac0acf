"""recipes/environment.sh judges the active environment by the requirements in pyproject.toml."""

import os
import re
import subprocess

import pytest
from commands import ROOT


def lacking(folder, *extras):
    """What the active environment lacks of a pyproject.toml in the folder, as the script finds it."""
    script = f'source "{ROOT}/recipes/environment.sh"; environment_root="{folder}"; lacking_requirements {" ".join(extras)}'
    process = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, env={**os.environ, "EXTRAS": ""})
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def test_this_environment_lacks_nothing_that_the_tests_need():
    extras = re.search(r'^EXTRAS="(.*)"$', (ROOT / "tests/run.sh").read_text(encoding="utf-8"), re.M)[1].split()
    assert "test" in extras and lacking(ROOT, *extras) == []


@pytest.mark.parametrize("extras", [[], ["demo"]])
def test_what_is_missing_or_too_old_is_named(extras, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["numpy>=1", "pyyaml>=999", "no-such-package"]\n'
        '[project.optional-dependencies]\ndemo = ["no-such-extra>=1"]\nother = ["no-such-other"]\n'
        '[tool.speechllm_plugin]\nbuilt-from-source = ["fairseq-fixed==0.0.1"]\n',
        encoding="utf-8",
    )
    assert lacking(tmp_path, *extras) == ["pyyaml>=999", "no-such-package", "fairseq-fixed==0.0.1", *(["no-such-extra>=1"] if extras else [])]
