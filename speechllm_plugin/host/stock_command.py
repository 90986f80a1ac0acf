"""Which of fairseq's commands this process runs, read from its arguments: fairseq itself does not tell a plugin."""

import sys
from pathlib import Path


def name() -> str:
    """As installed (`fairseq-train`), also for `python -m fairseq_cli.train`; empty in any other process, such as a notebook."""
    program = Path(sys.argv[0])
    if program.name.startswith("fairseq-"):
        return program.name
    return f"fairseq-{program.stem}" if program.parent.name == "fairseq_cli" else ""


def trains() -> bool:
    """Whether it is one that trains."""
    return name() in ("fairseq-train", "fairseq-hydra-train")
