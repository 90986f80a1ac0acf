"""The console command: which modules it loads, what it prints, how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from speechllm_plugin.commands import cli
from speechllm_plugin.commands.bench import BENCHMARKS

ROOT = Path(__file__).resolve().parents[2]


def run_speechllm(code, *arguments):
    """A fresh Python whose argv is the console command's, in the repository root."""
    program = f"import sys; sys.argv = ['speechllm', *sys.argv[1:]]; from speechllm_plugin.commands import cli; {code}"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_the_help_waits_for_neither_torch_nor_fairseq():
    """Nor for the modules of the commands."""
    light = "{name for name in sys.modules if name in ('torch', 'fairseq', 'numpy') or name.startswith('speechllm_plugin.commands.')}"
    result = run_speechllm(f"import atexit; atexit.register(lambda: print(*{light})); cli.main()", "--help")
    assert result.returncode == 0 and result.stdout.splitlines()[-1] == "speechllm_plugin.commands.cli"


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for command, (_, summary) in cli.COMMANDS.items():
        assert command in printed and summary.split()[0] in printed


def test_every_file_is_one_command_or_one_kind_of_benchmark():
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")} - {"__init__", "cli"}
    kinds = [module.__name__.rpartition(".")[2] for module, *_ in BENCHMARKS.values()]
    assert sorted([file for file, _ in cli.COMMANDS.values()] + kinds) == sorted(files)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_describes_its_arguments(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert f"speechllm {command}" in capsys.readouterr().out


@pytest.mark.parametrize("kind", BENCHMARKS)
def test_every_kind_of_benchmark_describes_its_arguments(kind, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", kind, "--help"])
    assert ended.value.code == 0
    assert f"speechllm bench {kind}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["score"], ["average", "--num", "many"]])
def test_wrong_arguments_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: speechllm" in capsys.readouterr().err


def test_errors_of_the_user_are_one_line_and_status_1(tmp_path, capsys):
    missing = tmp_path / "missing.tsv"
    assert cli.main(["score", "--hypotheses", str(missing), "--manifest", str(missing)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"speechllm: error: {missing}: ")
    assert captured.err.count("\n") == 1


def test_errors_of_the_program_keep_their_traceback(monkeypatch):
    def broken(args):
        raise KeyError("bug")

    monkeypatch.setattr("speechllm_plugin.commands.score.run", broken)
    with pytest.raises(KeyError, match="bug"):
        cli.main(["score", "--hypotheses", "x", "--manifest", "y"])


def test_system_errors_name_the_file():
    assert cli.describe_error(FileNotFoundError(2, "No such file or directory", "a.pt")) == "a.pt: No such file or directory"
    assert cli.describe_error(FileNotFoundError("a.tsv: no such manifest")) == "a.tsv: no such manifest"


def test_scoring_loads_neither_torch_nor_fairseq(tmp_path):
    (tmp_path / "test.tsv").write_text("id\taudio\tn_frames\ttgt_text\na\ta.wav\t10\tone two\n", encoding="utf-8")
    (tmp_path / "out.txt").write_text("D-0\t-0.5\tone two\n", encoding="utf-8")
    result = run_speechllm(
        "status = cli.main(); sys.exit(status or ', '.join({'torch', 'fairseq'} & set(sys.modules)) or 0)",
        *("score", "--hypotheses", tmp_path / "out.txt", "--manifest", tmp_path / "test.tsv", "--metrics", "wer"),
    )
    assert result.returncode == 0, result.stderr
    assert "wer_normalised" in result.stdout
