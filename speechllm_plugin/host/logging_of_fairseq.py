"""fairseq sets up the log of the whole program when it is imported, also in a program that only asks for a model."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def log_left_alone() -> Iterator[None]:
    """Let a block import fairseq without what this tells; then the log has the level and the handlers of before."""
    root = logging.getLogger()
    level, handlers, disabled = root.level, root.handlers[:], root.manager.disable
    logging.disable(max(logging.INFO, disabled))
    try:
        yield
    finally:
        logging.disable(disabled)
        root.setLevel(level)
        root.handlers[:] = handlers
