"""Passes the output of fairseq-train on, line by line, and writes a short line per validation to file descriptor 3:

fairseq-train ... 2>&1 | python3 recipes/show_validations.py 3>&2 >>train.log
"""

import os
import re
import sys

NAMES = {"num_updates": "update", "loss": "loss", "accuracy": "accuracy", "ctc_wer": "ctc_wer"}


def main():
    sys.stdin.reconfigure(errors="surrogateescape")
    sys.stdout.reconfigure(errors="surrogateescape", line_buffering=True)
    with os.fdopen(3, "w", buffering=1) as console:
        for line in sys.stdin:
            sys.stdout.write(line)
            values = dict(re.findall(r'"dev_(\w+)": "([^"]*)', line)) if '"dev_num_updates"' in line else {}
            if values:
                print("          dev", *(f" {shown} {values[name]}" for name, shown in NAMES.items() if name in values), file=console)


if __name__ == "__main__":
    main()
