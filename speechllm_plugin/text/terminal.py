"""Standard streams that no text of a corpus can use to command a terminal."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

from speechllm_plugin.text.one_line import harmless


class HarmlessStream:
    """A stream of text whose control characters are written as Python writes them, and so is what its encoding lacks.

    Args:
        stream: what is written to.
        keep_returns: carriage returns stay, as bars of progress need them.
    """

    def __init__(self, stream: TextIO, keep_returns: bool):
        self._stream, self._keep_returns = stream, keep_returns

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        shown = harmless(text, self._keep_returns).encode(encoding, "backslashreplace").decode(encoding)
        self._stream.write(shown)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def harmless_output() -> Iterator[None]:
    """Within the block, sys.stdout and sys.stderr are harmless."""
    with ExitStack() as streams:
        streams.enter_context(redirect_stdout(HarmlessStream(sys.stdout, keep_returns=False)))
        streams.enter_context(redirect_stderr(HarmlessStream(sys.stderr, keep_returns=True)))
        yield
