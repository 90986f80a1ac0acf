"""`speechllm translate`: a pretrained model (NLLB and others, through CTranslate2) translates a split's source texts into a KD file."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from speechllm_plugin.data import manifest
from speechllm_plugin.distillation import conversion, kd_file, split_translation
from speechllm_plugin.distillation.ctranslate2_teacher import COMPUTE_TYPES, CTranslate2Teacher, Search
from speechllm_plugin.files.locks import locked_file


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="folder of the manifests, as speechllm prepare made it")
    add("--split", required=True, metavar="NAME", help="translate src_text of DIR/NAME.tsv from src_lang into tgt_lang")
    add(
        "--model",
        required=True,
        metavar="MODEL",
        help="folder of a Hugging Face model or its name on the Hub, e.g. facebook/nllb-200-distilled-600M: NLLB-200, M2M-100, mBART, "
        "Marian, T5, MADLAD-400, BART or Pegasus; it is converted for CTranslate2 on first use",
    )
    add("--out", required=True, metavar="FILE", help="the KD file (TSV) for speechllm distill; an unfinished one is continued")
    add("--beam", type=_from_1, default=5, metavar="N", help="hypotheses in the search; 1 is greedy (default: %(default)s)")
    add("--kbest", type=_from_1, default=1, metavar="K", help="hypotheses to write, the best first (default: %(default)s)")
    add("--max-tokens", type=_from_1, default=4096, metavar="N", help="source tokens of a batch with padding (default: %(default)s)")
    add("--max-length", type=_from_1, default=256, metavar="N", help="tokens of a translation at most (default: %(default)s)")
    add("--length-penalty", type=float, default=1.0, metavar="X", help="the search divides by length to this power (default: %(default)s)")
    add("--gpus", type=int, default=0, metavar="N", help="GPUs to use; 0: the CPU with OMP_NUM_THREADS threads (default: %(default)s)")
    add("--compute-type", choices=COMPUTE_TYPES, help="number format of the weights (default: float16 on GPUs, float32 on the CPU)")
    add("--source-code", metavar="NAME", help="the model's name of the source language, if src_lang is not to be mapped")
    add("--target-code", metavar="NAME", help="the model's name of the target language, if tgt_lang is not to be mapped")
    add("--source-prefix", metavar="TEXT", help="words before every source, as T5 needs them")
    add("--cache", metavar="DIR", help="folder of converted models (default: speechllm/ctranslate2 in $XDG_CACHE_HOME or ~/.cache)")


def run(args: Namespace) -> None:
    if args.kbest > args.beam:
        raise ValueError(f"--kbest must be at most --beam ({args.beam}), but is {args.kbest}")
    if args.gpus < 0:
        raise ValueError(f"--gpus must not be negative, but is {args.gpus}")
    path = Path(args.data) / f"{args.split}.tsv"
    rows = manifest.read(path)
    split_translation.check_rows(path, rows, {"src_lang": args.source_code, "tgt_lang": args.target_code})
    languages = {"source_code": args.source_code, "target_code": args.target_code, "source_prefix": args.source_prefix}
    teacher = CTranslate2Teacher(
        args.model, cache=args.cache or conversion.default_cache(), gpus=args.gpus, compute_type=args.compute_type, **languages
    )
    search = Search(args.beam, args.kbest, args.max_length, args.length_penalty)
    teacher.check_length(search.max_length)
    options = {**search._asdict(), **{name: value for name, value in languages.items() if value is not None}}
    sources = teacher.encode(rows)
    teacher.load()
    description = kd_file.describe(rows, teacher=teacher.name, split=args.split, k=args.kbest, options=options)
    with locked_file(args.out, "speechllm translate"):
        before = split_translation.translate(teacher, sources, search, args.max_tokens, args.out, description)
    print(
        f"{args.out}: {args.kbest} of {len(rows)} rows each, {before} of them from before; "
        f"{teacher.num_cut_off} of the new hypotheses are cut off at --max-length {args.max_length}"
    )


def _from_1(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f"must be at least 1, but is {text}")
    return number
