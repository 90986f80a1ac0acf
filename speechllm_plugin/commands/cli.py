"""The console command `speechllm COMMAND`.

A command is a file in this folder with `add_arguments(parser)` and `run(args)`, and one entry in COMMANDS. Only the file of the chosen
command is imported, so that scoring a file waits for neither torch nor fairseq, and the help for nothing.
"""

import argparse
import importlib
import logging
import os
import sys

from speechllm_plugin.files import interruption
from speechllm_plugin.text import out_of_memory
from speechllm_plugin.text.one_line import one_line
from speechllm_plugin.text.terminal import harmless_output

# command -> its file, its line in the help
COMMANDS = {
    "prepare": ("prepare", "make manifests, features, vocabularies and config.yaml from a corpus"),
    "describe": ("describe", "print a model file's layers, parameters and FLOPs, and models that match it"),
    "average": ("average", "average the last checkpoints of a training run"),
    "import": ("import_checkpoint", "turn a checkpoint of the study's code into one of ours"),
    "export": ("export", "make of a checkpoint a model folder, which needs no data folder"),
    "transcribe": ("transcribe", "write the text of recordings, with a model folder"),
    "simulate": ("simulate", "write text while the speech arrives (AlignAtt): quality and latency, with a model"),
    "translate": ("translate", "translate a split's source texts with a pretrained model (NLLB and others)"),
    "distill": ("distill", "make a data folder for a student of a teacher's translations or probabilities"),
    "bench": ("bench", "measure the time and memory of decoding or training"),
    "score": ("score", "score the output of fairseq-generate against the manifest"),
    "report": ("report", "compare finished runs: scores, significance, slices, failures, in one HTML file"),
    "check": ("check", "test a checkpoint: batches, padding, cache, future, compression, bfloat16, tags"),
    "stress": ("stress", "make harder test sets of one: utterances joined to long ones, or each in noise"),
    "silence": ("silence", "make a test set of silence and noise, to see what a model says without speech"),
}


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The parser of `speechllm`, complete for `command` only (None: no command's own arguments)."""
    parser = argparse.ArgumentParser(
        prog="speechllm",
        description="Tools around fairseq-train and fairseq-generate with --user-dir speechllm_plugin.",
        epilog="`speechllm COMMAND --help` describes the arguments of a command.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (file, summary) in COMMANDS.items():
        subparser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == command:
            module = importlib.import_module(f"speechllm_plugin.commands.{file}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser


def describe_error(error: BaseException) -> str:
    """The message of an error without Python's decoration: `FILE: No such file or directory`."""
    if out_of_memory.is_meant(error):
        return f"{out_of_memory.reason(error)}; lower the numbers that were given, or take a machine with more"
    if isinstance(error, OSError) and error.filename is not None and error.strerror is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0, or 1 after an error that the user can cause (one line on stderr). Errors in the
        arguments themselves leave through argparse, with status 2.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        with interruption.signals_caught(), harmless_output():
            return _run(argv)
    except KeyboardInterrupt as error:
        interruption.end("speechllm", error)
        raise


def _run(argv: list[str]) -> int:
    logging.basicConfig(format="%(levelname)s: %(message)s")  # of warnings; fairseq, when imported, would otherwise show what it does itself
    command = next((argument for argument in argv if not argument.startswith("-")), None)
    args = build_parser(command).parse_args(argv)
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has seen enough, as in `speechllm ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python complains at its end
        return 1
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        if isinstance(error, RuntimeError) and not out_of_memory.is_meant(error):
            raise  # a defect
        message = one_line(describe_error(error))
    else:
        return 0
    # Only here, where the error is gone and with it what held a bar of progress, which ends its line.
    print(f"speechllm: error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
