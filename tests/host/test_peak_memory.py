"""fairseq-generate and fairseq-train end with one line on their memory; nothing else does."""

import re
import subprocess
import sys

import pytest
import torch
from commands import ROOT, generate, last_line, succeeded

from speechllm_plugin.host import peak_memory

LINE = re.compile(r"peak memory: process [\d,]+ MiB")
SCRIPT = """
import sys
sys.argv[0] = {program!r}
from speechllm_plugin.host import peak_memory
block = bytearray(300 * 2**20)
del block
for _ in range(3):
    peak_memory.log_at_exit()
{end}
"""


def lines_of(program, end=""):
    """What a process of this name that decodes three times says at its end."""
    code = SCRIPT.format(program=program, end=end)
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stderr.splitlines()


@pytest.mark.parametrize("program", ["fairseq-generate", "fairseq-train"])
def test_the_line_is_the_last_and_the_peak_is_what_was_freed_before(program):
    *others, last = lines_of(f"/bin/{program}")
    assert LINE.fullmatch(last) and not any("peak memory" in line for line in others)
    assert int(re.search(r"[\d,]+", last)[0].replace(",", "")) > 300


def test_what_failed_says_nothing():
    assert "ValueError: wrong" in lines_of("/bin/fairseq-generate", "raise ValueError('wrong')")[-1]


def test_a_benchmark_that_has_trained_says_nothing():
    assert lines_of("/bin/fairseq-train", "sys.argv[0] = '/bin/speechllm'") == []


@pytest.mark.parametrize(
    ("program", "says_it"),
    [
        ("/bin/fairseq-generate", True),
        ("/site-packages/fairseq_cli/generate.py", True),
        ("/bin/fairseq-train", True),
        ("fairseq_cli/interactive.py", False),
        ("generate.py", False),
        ("", False),
    ],
)
def test_only_these_commands_say_it(program, says_it, monkeypatch):
    registered = []
    monkeypatch.setattr(peak_memory, "_register", lambda: registered.append(program))
    monkeypatch.setattr(sys, "argv", [program])
    peak_memory.log_at_exit()
    assert bool(registered) == says_it


def test_units(monkeypatch):
    usage = type("Usage", (), {"ru_maxrss": 831_488 * peak_memory.MIB // peak_memory.RESIDENT_UNIT // 1024})
    monkeypatch.setattr(peak_memory.resource, "getrusage", lambda who: usage)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 0)
    assert peak_memory.line() == "peak memory: process 812 MiB"  # --cpu where there is a GPU
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 1234 * 2**20)
    assert peak_memory.line() == "peak memory: process 812 MiB, GPU 1,234 MiB"
    monkeypatch.setattr(peak_memory, "noted_peaks", [0])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device=None: monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 0))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 5678 * 2**20)
    with peak_memory.peaks_noted(peak_memory._note):
        torch.cuda.reset_peak_memory_stats()
    assert peak_memory.line() == "peak memory: process 812 MiB, GPU 5,678 MiB"  # of an update that fairseq has made torch forget


@pytest.mark.end_to_end
def test_the_log_of_fairseq_generate_has_the_line_once(trained, data, tmp_path):
    results = ["--results-path", tmp_path / "results"]
    for arguments in ([], results):
        process = succeeded(generate(data, trained.checkpoint, "dev", *arguments))
        assert LINE.fullmatch(last_line(process)) and process.stderr.count("peak memory") == 1
        assert "peak memory" not in process.stdout
    assert "peak memory" not in (tmp_path / "results" / "generate-dev.txt").read_text()
    refused = generate(data, trained.checkpoint, "dev", "--min-len", 50, "--max-len-b", 5)
    assert refused.returncode == 1 and "--min-len must be at most" in last_line(refused)
