"""One line instead of a traceback where an error of a fairseq command is one that a user can cause."""

import sys
import traceback
from pathlib import Path

from speechllm_plugin.host import stock_command

PACKAGE_FOLDER = Path(__file__).parents[1]
WORKER_PREFIX = "Caught "  # how torch begins what a data loader's worker raised; its own traceback follows, the message last


def install() -> None:
    """Let such errors end the fairseq commands in one line. In any other process, such as a notebook or a test, nothing changes."""
    if stock_command.name():
        previous = sys.excepthook
        sys.excepthook = lambda kind, error, trace: report(error) or previous(kind, error, trace)


def report(error: BaseException | None) -> bool:
    """Print `fairseq-train: error: message` if this package raised the error, or the one that fairseq replaced by it."""
    while error is not None:
        message = message_for_user(error)
        if message:
            print(f"{stock_command.name()}: error: {message}", file=sys.stderr)
            return True
        error = error.__context__
    return False


def message_for_user(error: BaseException) -> str:
    """The message of a ValueError or FileNotFoundError that this package raised, also in a worker; else nothing."""
    if not isinstance(error, (ValueError, FileNotFoundError)):
        return ""
    message = str(error)
    if message.startswith(WORKER_PREFIX):
        return message.strip().splitlines()[-1].partition(": ")[2] if f'File "{PACKAGE_FOLDER}' in message else ""
    *_, (innermost, _) = traceback.walk_tb(error.__traceback__)
    return message if PACKAGE_FOLDER in Path(innermost.f_code.co_filename).parents else ""
