"""`speechllm average`: the mean of the last checkpoints of a run, as a checkpoint for fairseq-generate."""

from argparse import ArgumentParser, Namespace

from speechllm_plugin.files import checkpoint_file
from speechllm_plugin.files.atomic import check_writable
from speechllm_plugin.files.averaging import NUMBERED_NAMES, average, last_checkpoints
from speechllm_plugin.files.locks import locked_file
from speechllm_plugin.files.separated_paths import check_one_path


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--inputs", required=True, metavar="DIR", help="folder of checkpoints (--save-dir of fairseq-train)")
    parser.add_argument("--num", required=True, type=int, metavar="N", help="how many: those with the highest numbers")
    parser.add_argument("--output", required=True, metavar="FILE", help="the averaged checkpoint, for fairseq-generate --path")
    parser.add_argument(
        "--by",
        choices=list(NUMBERED_NAMES),
        help="updates: checkpoint_EPOCH_UPDATES.pt; epochs: checkpointEPOCH.pt (default: the kind that is there)",
    )


def run(args: Namespace) -> None:
    check_one_path("--output", args.output)
    check_writable("--output", args.output)
    paths = last_checkpoints(args.inputs, args.num, args.by)
    with locked_file(args.output, "speechllm average"):
        checkpoint_file.save(average(paths), args.output)
    print(f"{args.output}: average of {', '.join(path.name for path in paths)}")
