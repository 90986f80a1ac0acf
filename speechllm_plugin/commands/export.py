"""`speechllm export`: a trained model as one folder, which transcribes without its data folder."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from speechllm_plugin.exporting.exported_model import export

EXPORTED_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="of fairseq-train, `speechllm average` or `speechllm import`")
    parser.add_argument("--data", required=True, metavar="FOLDER", type=Path, help="data folder that it was trained on")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument(
        "--dtype", choices=EXPORTED_DTYPES, default="bfloat16", help="of the stored weights, vectors apart (default: %(default)s, half the size)"
    )
    parser.add_argument(
        "--scores",
        nargs="+",
        metavar="FILE",
        type=Path,
        help="files of `speechllm score --json` for the card (default: score-*.json beside the checkpoint)",
    )
    parser.add_argument("--about", metavar="FILE.md", type=Path, help="Markdown for the card: where the recordings are from, their licence")


def run(args: Namespace) -> None:
    scores = args.scores if args.scores is not None else sorted(args.checkpoint.parent.glob("score-*.json"))
    about = read_about(args.about) if args.about else ""
    settings = export(args.checkpoint, args.data, args.out, EXPORTED_DTYPES[args.dtype], scores, about)
    num_bytes = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{args.out}: {settings['arch']}, {settings['num_parameters']:,} parameters, {num_bytes / 2**20:.1f} MiB; its card: {args.out}/README.md")


def read_about(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"--about {path}: must be text in UTF-8 ({error}); save it as UTF-8") from error
