"""`speechllm describe`: what a model file builds, its parameters, and what one utterance costs in training and decoding."""

import json
from argparse import ArgumentParser, Namespace
from dataclasses import fields
from pathlib import Path

from speechllm_plugin.describing import description_text, model_file
from speechllm_plugin.describing.description import MEASURES, facts, match
from speechllm_plugin.describing.setting import Setting


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model_file", metavar="MODEL_FILE", type=Path, help="file that sets MODEL_ARGS=(...), as those in recipes/models; it is read, not run"
    )
    parser.add_argument("--vocab-size", required=True, type=int, metavar="N", help="types of the target vocabulary, special symbols included")
    parser.add_argument("--transcript-vocab-size", type=int, metavar="N", help="the same of the transcripts' vocabulary; needed with CTC")
    parser.add_argument("--seconds", type=float, default=10, metavar="S", help="length of the utterance (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=40, metavar="U", help="tokens of its text, the end token included (default: %(default)s)")
    parser.add_argument("--beam", type=int, default=5, metavar="K", help="hypotheses in decoding (default: %(default)s)")
    parser.add_argument(
        "--compression-rate",
        type=float,
        metavar="R",
        help="states before / after CTC compression, which depend on the data (default: an assumption that the output states)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object; speechllm_plugin/describing/description.py lists its keys")
    parser.add_argument(
        "--match",
        choices=list(MEASURES),
        help="propose prepending models with as many parameters, or FLOPs of a training step, as MODEL_FILE's, which has cross-attention",
    )


def run(args: Namespace) -> None:
    setting = Setting(**{field.name: getattr(args, field.name) for field in fields(Setting)})
    arch, cfg = model_file.read(args.model_file)
    setting.check(cfg)
    described = facts(args.model_file, arch, cfg, setting)
    if args.match:
        described["match"] = match(arch, cfg, setting, args.match)
    print(json.dumps(described, indent=2) if args.json else description_text.text(described))
