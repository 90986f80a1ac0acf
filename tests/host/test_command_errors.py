"""Errors that a user can cause end the fairseq commands with one line; all others keep their traceback."""

import sys
import traceback

import pytest
import torch

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


OTHERS = [raised(int, "x"), RuntimeError("of torch"), KeyError("bug"), ValueError("Caught ValueError\nFile 'other.py'")]


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


def test_a_file_that_cannot_be_opened_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/bin/fairseq-generate"])
    assert command_errors.report(raised(open, "/nothing/\x1b[31mhere\nat all"))
    assert capsys.readouterr().err == "fairseq-generate: error: /nothing/\\x1b[31mhere\\nat all: No such file or directory\n"


def test_what_fairseq_checks_is_one_line_and_its_defects_are_not():
    from fairseq import checkpoint_utils
    from fairseq.data.dictionary import Dictionary

    checked = raised(lambda: checkpoint_utils.load_model_ensemble(["x.pt"], num_shards=2))
    assert command_errors.message_for_user(checked) == "Cannot load state dict with strict=True and checkpoint shards > 1"
    assert not command_errors.message_for_user(raised(Dictionary.load, None))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Unable to allocate 7.28 TiB for an array"), "memory of this machine is short: unable to allocate 7.28 TiB; lower --max-tokens"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 bytes"),
            "memory of this machine is short",
        ),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"),
            "memory of the GPU is short: tried to allocate 2.00 GiB",
        ),
    ],
)
def test_memory_that_is_short_names_the_flags_that_need_less(error, message):
    assert command_errors.message_for_user(error).startswith(message) and "--max-tokens" in command_errors.message_for_user(error)
