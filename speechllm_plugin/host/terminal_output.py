"""What the fairseq commands print to a terminal: texts of a corpus among it, which a vocabulary keeps as they are."""

import sys

from speechllm_plugin.host import stock_command
from speechllm_plugin.text.terminal import HarmlessStream


def keep_harmless() -> None:
    """Write control characters as Python does where a fairseq command prints to a terminal; a file or a pipe gets every byte."""
    if stock_command.name():
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream.isatty():
                setattr(sys, name, HarmlessStream(stream, keep_returns=True))
