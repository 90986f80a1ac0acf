"""The output of fairseq-train passed on line by line, with a short line per validation for the console (file descriptor 3)."""

import io
import os
import signal
import sys

from speechllm_plugin.outputs.logs import validation

SHOWN_QUANTITIES = {"num_updates": "update", "loss": "loss", "accuracy": "accuracy", "ctc_wer": "ctc_wer"}


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # it ends with fairseq-train, whose last words explain why
    for stream in (sys.stdin, sys.stdout):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(errors="surrogateescape", line_buffering=True)  # what a program prints need not be UTF-8
    with os.fdopen(3, "w", buffering=1) as console:
        for line in sys.stdin:
            sys.stdout.write(line)
            values = validation(line)
            if values:
                print("          dev", *(f" {shown} {values[name]}" for name, shown in SHOWN_QUANTITIES.items() if name in values), file=console)
