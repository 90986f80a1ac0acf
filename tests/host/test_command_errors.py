"""Errors that a user can cause end the fairseq commands with one line; all others keep their traceback."""

import sys
import traceback

import pytest

from speechllm_plugin.data import manifest
from speechllm_plugin.host import command_errors, stock_command


def raised(function, *arguments):
    with pytest.raises(Exception) as found:
        function(*arguments)
    return found.value


def test_an_error_of_any_room_is_one_line_and_keeps_its_message(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/bin/fairseq-train"])
    missing = tmp_path / "train.tsv"
    error = raised(manifest.read, missing)
    assert isinstance(error, FileNotFoundError) and command_errors.report(error)
    assert capsys.readouterr().err == f"fairseq-train: error: {error}\n" and str(missing) in str(error)


def test_an_error_that_fairseq_replaced_is_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/bin/fairseq-train"])

    def replacing():
        try:
            manifest.read(tmp_path / "train.tsv")
        except FileNotFoundError:
            raise AssertionError("of fairseq")  # noqa: B904

    assert command_errors.report(raised(replacing)) and "train.tsv" in capsys.readouterr().err


def test_an_error_in_a_worker_is_found(tmp_path):
    """torch raises it anew: the message has the traceback of the worker."""
    error = raised(manifest.read, tmp_path / "train.tsv")
    original = "".join(traceback.format_exception(error))
    anew = FileNotFoundError(f"Caught FileNotFoundError in DataLoader worker process 0.\nOriginal {original}")
    assert command_errors.message_for_user(anew) == str(error)


OTHERS = [raised(int, "x"), raised(open, "/nothing/here"), KeyError("bug"), ValueError("Caught ValueError\nFile 'other.py'")]


@pytest.mark.parametrize("error", OTHERS)
def test_errors_of_others_keep_their_traceback(error, capsys):
    assert not command_errors.report(error) and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("/bin/fairseq-train", "fairseq-train"),
        ("/site-packages/fairseq_cli/generate.py", "fairseq-generate"),
        ("/bin/speechllm", ""),
        ("generate.py", ""),
        ("", ""),
    ],
)
def test_only_fairseqs_commands_are_changed(program, command, monkeypatch):
    def previous(*error):
        raise AssertionError

    monkeypatch.setattr(sys, "argv", [program])
    monkeypatch.setattr(sys, "excepthook", previous)
    command_errors.install()
    assert stock_command.name() == command and (sys.excepthook is not previous) == bool(command)
