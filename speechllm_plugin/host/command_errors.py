"""One line instead of a traceback where an error of a fairseq command is one that a user can cause."""

import dis
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from speechllm_plugin.host import rank_processes, stock_command
from speechllm_plugin.text import out_of_memory
from speechllm_plugin.text.one_line import one_line

PACKAGE_FOLDER = Path(__file__).parents[1]
WORKER_PREFIX = "Caught "  # how torch begins what a data loader's worker raised; its own traceback follows, the message last
PROCESS_PREFIX = "-- Process "  # the same of a process that it spawned, one for each GPU
FOR_USERS = (ValueError, FileNotFoundError, FloatingPointError)
ADVICE_ON_MEMORY = "lower --max-tokens or --batch-size (with a higher --update-freq an update stays as large), --num-workers or --beam"


def install() -> None:
    """Let such errors end the fairseq commands in one line. In any other process, such as a notebook or a test, nothing changes."""
    if stock_command.name():
        previous = sys.excepthook
        sys.excepthook = lambda kind, error, trace: report(error) or previous(kind, error, trace)


def report(error: BaseException | None) -> bool:
    """Print `fairseq-train: error: message` if a user can cause the error, or the one that fairseq replaced by it."""
    message = message_of_this_package(error) or next(filter(None, map(message_for_user, with_causes(error))), "")
    if message:
        print(f"{stock_command.name()}: error: {one_line(message)}", file=sys.stderr)
    return bool(message)


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, the one during whose handling it was raised, and so on."""
    while error is not None:
        yield error
        error = error.__context__


def message_for_user(error: BaseException) -> str:
    """The message of an error that a user can cause, also in a worker; else nothing.

    These are ValueErrors and missing files that this package raised, files that cannot be opened, memory that is short, and what fairseq
    itself checks: an `assert` or `raise` in its source that has a message. All others are defects, and need their traceback.
    """
    message = str(error)
    if message.strip().startswith((WORKER_PREFIX, PROCESS_PREFIX)):
        return message.strip().splitlines()[-1].partition(": ")[2] if f'File "{PACKAGE_FOLDER}' in message else ""
    if isinstance(error, out_of_memory.BatchTooLarge):
        return message
    if isinstance(error, RuntimeError) and rank_processes.lost_connection(error):
        return (
            "another rank has ended, so that this one ends too: the reason is in that one's output; the same command goes on from the last checkpoint"
        )
    if out_of_memory.is_meant(error):
        return f"{out_of_memory.reason(error)}; {ADVICE_ON_MEMORY}"
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}"
    if _is_of_this_package(error):
        return message if isinstance(error, FOR_USERS) else ""
    if isinstance(error, UnicodeDecodeError) and stock_command.name() == "fairseq-interactive":
        return f"--input must be lines in UTF-8, but is not ({error}); convert it, e.g. with iconv"
    return message if _is_check_of_fairseq(error) else ""


def message_of_this_package(error: BaseException | None) -> str:
    """The message of what this package raised for a user, which fairseq may have replaced by an error of its own; else nothing."""
    return next((str(each) for each in with_causes(error) if isinstance(each, FOR_USERS) and _is_of_this_package(each)), "")


def _is_of_this_package(error: BaseException) -> bool:
    raised = _innermost(error)
    return raised is not None and PACKAGE_FOLDER in Path(raised.tb_frame.f_code.co_filename).parents


def _innermost(error: BaseException) -> TracebackType | None:
    """Where an error was raised; None for one that never was."""
    raised = error.__traceback__
    while raised is not None and raised.tb_next is not None:
        raised = raised.tb_next
    return raised


def _is_check_of_fairseq(error: BaseException) -> bool:
    """Whether a statement of fairseq, and no call in it, raised an error."""
    raised = _innermost(error)
    if raised is None:
        return False
    code, name = raised.tb_frame.f_code, raised.tb_frame.f_globals.get("__name__", "")
    is_of_fairseq = name.partition(".")[0] in ("fairseq", "fairseq_cli") or Path(code.co_filename).parent.name == "fairseq_cli"
    return is_of_fairseq and code.co_code[raised.tb_lasti] == dis.opmap["RAISE_VARARGS"]
