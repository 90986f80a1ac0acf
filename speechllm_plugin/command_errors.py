"""What a user can cause ends a fairseq command with one line instead of a traceback."""

import sys
from pathlib import Path

PACKAGE = Path(__file__).parent
WORKER_PREFIX = "Caught "       # how torch begins what a data loader's worker raised; its own traceback follows, the message last


def install() -> None:
    """Shorten errors of this package in the fairseq-* commands; elsewhere (notebooks, tests) nothing changes."""
    if Path(sys.argv[0]).name.startswith("fairseq-"):
        previous = sys.excepthook
        sys.excepthook = lambda kind, error, traceback: report(error) or previous(kind, error, traceback)


def report(error: BaseException) -> bool:
    """Print `fairseq-train: error: message` if the error is a ValueError or FileNotFoundError that this package raised."""
    if not isinstance(error, (ValueError, FileNotFoundError)):
        return False
    message = str(error)
    if message.startswith(WORKER_PREFIX):
        if f'File "{PACKAGE}' not in message:
            return False
        message = message.strip().splitlines()[-1].partition(": ")[2]
    elif not raised_here(error):
        return False
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr)
    return True


def raised_here(error: BaseException) -> bool:
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return PACKAGE in Path(traceback.tb_frame.f_code.co_filename).parents
