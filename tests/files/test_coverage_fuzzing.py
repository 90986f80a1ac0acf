"""The readers under atheris, where it is installed; tests/fuzz.py by hand goes on for longer."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "fuzz.py"


@pytest.mark.atheris
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("reader", ["config", "log", "manifest", "output", "table", "yaml"])
def test_any_bytes_are_read_or_refused_in_one_line(reader, tmp_path):
    done = subprocess.run([sys.executable, PROGRAM, reader, "--runs", "2000"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
