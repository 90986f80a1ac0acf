"""The commands in this process: what each printed, its exit status, and the traceback of a defect.

Hundreds of commands that end at once cost more in starting Python than in all else.
"""

import contextlib
import importlib
import io
import logging
import random
import sys
import traceback
import warnings
from typing import NamedTuple

import numpy as np
import torch
from fairseq import checkpoint_utils
from fairseq.logging import metrics, progress_bar

from speechllm_plugin.commands import cli
from speechllm_plugin.data import features
from speechllm_plugin.host import command_errors


class Finished(NamedTuple):
    """traceback: of an exception that no user should see; empty where there is none."""

    status: int
    out: str
    err: str
    traceback: str

    @property
    def last_line(self):
        return self.err.rstrip("\n").rpartition("\n")[2].rpartition("\r")[2]


def run(command, cwd):
    """Run `speechllm ...` or `fairseq-... ...`, given as a list, in a folder."""
    out, err, status, trace = io.StringIO(), io.StringIO(), 0, ""
    root = logging.getLogger()
    handlers, level, stdin, argv = root.handlers[:], root.level, sys.stdin, sys.argv
    program, *arguments = map(str, command)
    with warnings.catch_warnings(), contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        warnings.simplefilter("ignore")  # of libraries that fairseq is too old for
        root.handlers[:] = [logging.StreamHandler(err)]
        root.handlers[0].setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        root.setLevel(logging.WARNING)
        sys.argv = [program, *arguments]
        reset()
        try:
            if program == "speechllm":
                status = cli.main(arguments)
            else:
                importlib.import_module(f"fairseq_cli.{program.removeprefix('fairseq-')}").cli_main()
        except SystemExit as error:
            status = error.code or 0
        except BaseException as error:  # as the excepthook would be asked
            status = 1
            trace = "" if program != "speechllm" and command_errors.report(error) else "".join(traceback.format_exception(error))
        finally:
            root.handlers[:], sys.stdin, sys.argv = handlers, stdin, argv
            root.setLevel(level)
    return Finished(status, out.getvalue(), err.getvalue(), trace)


def reset():
    """What fairseq keeps in its modules from one training to the next."""
    features._mapped.cache_clear()  # another world has another archive of the same name
    metrics.reset()
    progress_bar._tensorboard_writers.clear()
    for name in ("best", "last_file_path"):
        vars(checkpoint_utils.save_checkpoint).pop(name, None)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
