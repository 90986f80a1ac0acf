"""`speechllm bench decode`: time and memory of the beam search, with the models of model files and random weights.

--json FILE holds one object: `setting` (the flags, and the device), `measurements` (their keys: benchmarking/measurement.py) and
`comparisons` (of every other search with the plugin's: time_ratio and memory_ratio are its time and peak over the plugin's, same_texts the
share of sentences whose best hypothesis is the same).
"""

import functools
import json
import shlex
from argparse import ArgumentParser, Namespace, _ArgumentGroup
from pathlib import Path

import torch

from speechllm_plugin.benchmarking import decoding_benchmark, measured_tables, plot, workload
from speechllm_plugin.benchmarking.measurement import Measurement
from speechllm_plugin.benchmarking.random_model import MAX_TARGET_POSITIONS, RandomModel
from speechllm_plugin.benchmarking.searches import WITH_CTC
from speechllm_plugin.benchmarking.stock_decoder import check_served
from speechllm_plugin.benchmarking.workload import Workload
from speechllm_plugin.data import manifest
from speechllm_plugin.data.features import FRAMES_PER_SECOND
from speechllm_plugin.describing.setting import Setting, depends_on_data
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.generation.ctc_prefix import JointDecoding
from speechllm_plugin.host.devices import device_name, existing_device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCH, SECONDS = 40, 10.0
MODEL_SIZES = {"model_flags": "", "vocab_size": 8000, "transcript_vocab_size": 5000, "compression_rate": None}


def add_model_arguments(parser: ArgumentParser) -> _ArgumentGroup:
    """The arguments that name the models of a benchmark; returns their group, for more of them."""
    files = parser.add_argument_group("models")
    files.add_argument(
        "model_files",
        nargs="+",
        metavar="MODEL_FILE",
        type=Path,
        help="files that set MODEL_ARGS=(...), as those in recipes/models; they are read, not run",
    )
    add_size_arguments(files)
    return files


def add_size_arguments(files: _ArgumentGroup) -> None:
    """The arguments for what model files leave open; their defaults are MODEL_SIZES."""
    files.add_argument("--model-flags", metavar="'FLAGS'", help="flags appended to every MODEL_ARGS, as in '--decoder-layers 3'")
    files.add_argument("--vocab-size", type=int, metavar="N", help="types of the target vocabulary (default: %(default)s)")
    files.add_argument("--transcript-vocab-size", type=int, metavar="N", help="the same of CTC's vocabulary (default: %(default)s)")
    files.add_argument("--compression-rate", type=float, metavar="R", help="states before / after CTC compression (default: as `describe` assumes)")
    files.set_defaults(**MODEL_SIZES)


def add_arguments(parser: ArgumentParser) -> None:
    files = add_model_arguments(parser)
    files.add_argument("--dtype", choices=DTYPES, default="float32", help="of the weights (default: %(default)s)")
    work = parser.add_argument_group("work")
    work.add_argument("--manifest", type=Path, metavar="TSV", help="decode these utterances, not noise; config.yaml is beside it")
    work.add_argument("--batch", type=int, default=BATCH, metavar="B", help="sentences of a batch (default: %(default)s)")
    work.add_argument("--seconds", type=float, metavar="S", help=f"audio of a sentence of noise (default: {SECONDS:g})")
    work.add_argument(
        "--tokens", type=int, metavar="U", help=f"tokens of every text, its end included (default: {workload.TOKENS_PER_SECOND} a second of audio)"
    )
    work.add_argument("--beam", type=int, default=5, metavar="K", help="hypotheses of a sentence (default: %(default)s)")
    work.add_argument("--no-repeat-ngram-size", type=int, default=5, metavar="N", help="as in fairseq-generate (default: %(default)s; 0 = off)")
    work.add_argument(
        "--sweep", nargs="+", default=[], metavar="NAME=V,V", help=f"every combination, as in seconds=5,10 beam=1,5; of {', '.join(workload.SWEPT)}"
    )
    running = parser.add_argument_group("measuring")
    running.add_argument("--against", choices=["fairseq"], help="measure fairseq's generator too: a copy of the speech per hypothesis")
    running.add_argument("--ctc-decoding-weight", type=float, metavar="W", help="measure the plugin's search with CTC too, at this weight")
    running.add_argument("--repeats", type=int, default=3, metavar="N", help="timed passes after the first; the median counts (default: %(default)s)")
    running.add_argument("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda if there is one); threads of the CPU: OMP_NUM_THREADS")
    results = parser.add_argument_group("results, beside the lines that are printed")
    results.add_argument("--json", type=Path, metavar="FILE", help="all numbers; speechllm_plugin/commands/bench_decode.py says which")
    results.add_argument("--plot", type=Path, metavar="FILE", help="time and memory against seconds of audio: .png, .pdf or .svg; needs matplotlib")
    results.add_argument("--table2", type=Path, metavar="FILE", help="the study's Table 2 in Markdown: relative to row 1, beside the paper's figures")


def run(args: Namespace) -> None:
    device = existing_device(args.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    utterances = None if args.manifest is None else read_manifest(args)
    seconds = (SECONDS if args.seconds is None else args.seconds) if utterances is None else workload.mean_seconds(utterances)
    workloads = workload.sweep(Workload(args.batch, seconds, args.tokens, args.beam), args.sweep)
    setting = Setting(args.vocab_size, args.transcript_vocab_size, SECONDS, 1, args.beam, args.compression_rate)
    models = [RandomModel.read(path, shlex.split(args.model_flags), setting) for path in args.model_files]
    searches = {"plugin": {"no_repeat_ngram_size": args.no_repeat_ngram_size}}
    if args.ctc_decoding_weight is not None:
        joint = JointDecoding(args.ctc_decoding_weight, torch.arange(args.vocab_size) % args.transcript_vocab_size)
        searches[WITH_CTC] = {**searches["plugin"], "joint": joint}
    if args.against:
        searches[args.against] = searches["plugin"]
    check(args, models, searches, workloads)

    print(f"device: {device_name(device)}, {args.dtype}, vocabulary of {args.vocab_size:,}")
    batches_of = workload.noise if utterances is None else functools.partial(workload.of_manifest, args.manifest, utterances)
    results = decoding_benchmark.run(models, workloads, searches, batches_of, repeats=args.repeats, device=device, dtype=DTYPES[args.dtype])
    write(args, device, *results)


def check(args: Namespace, models: list[RandomModel], searches: dict[str, dict], workloads: list[Workload]) -> None:
    """Everything that can be wrong is found before anything is measured."""
    if args.repeats < 1:
        raise ValueError(f"--repeats must be at least 1, but is {args.repeats}")
    if args.no_repeat_ngram_size < 0:
        raise ValueError(f"--no-repeat-ngram-size must not be negative (0 = off), but is {args.no_repeat_ngram_size}")
    if args.compression_rate is not None and not any(depends_on_data(model.cfg) for model in models):
        raise ValueError("--compression-rate is for compression that depends on the data, but no model file has any: leave it out")
    if args.ctc_decoding_weight is not None:
        if not 0 < args.ctc_decoding_weight < 1:
            raise ValueError(f"--ctc-decoding-weight must be above 0 and below 1, but is {args.ctc_decoding_weight}")
        for model in models:
            if not model.cfg.ctc_layer:
                raise ValueError(f"{model.path}: --ctc-decoding-weight needs a CTC head, but --ctc-layer is 0: leave one of them out")
    for model in models if args.against else ():
        try:
            check_served(model.cfg)
        except ValueError as error:
            raise ValueError(f"{model.path}: {error}") from error
    for work in workloads:
        if work.beam >= args.vocab_size:
            raise ValueError(f"--beam must be below --vocab-size ({args.vocab_size}), but is {work.beam}")
        num_tokens = work.num_tokens(round(work.seconds * FRAMES_PER_SECOND))
        if num_tokens > MAX_TARGET_POSITIONS:
            raise ValueError(f"texts can have {MAX_TARGET_POSITIONS} tokens, but {work.seconds:g} s get {num_tokens}: give --tokens")
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name}: two model files have this name: rename one, so that the results can be told apart")
    if args.plot:
        if any(word.startswith("tokens=") for word in args.sweep):
            raise ValueError("--plot draws a line over seconds for each beam and batch: leave --sweep tokens out, or --plot")
        plot.check(args.plot)
    if args.table2:
        measured_tables.check_table2(names, list(searches), len(workloads))


def read_manifest(args: Namespace) -> list[manifest.Utterance]:
    if args.seconds is not None or any(word.startswith("seconds=") for word in args.sweep):
        raise ValueError(f"--manifest {args.manifest} has lengths of its own: leave --seconds and --sweep seconds out")
    return manifest.read(args.manifest)


def write(args: Namespace, device: torch.device, measurements: list[Measurement], comparisons: list[dict]) -> None:
    if args.json:
        flags = {name: [str(each) for each in value] if name == "model_files" else value for name, value in vars(args).items() if name != "run"}
        setting = {**flags, "device": device_name(device), "torch": torch.__version__}
        content = {"setting": setting, "measurements": [vars(measured) for measured in measurements], "comparisons": comparisons}
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    if args.plot:
        plot.draw(args.plot, measurements)
    if args.table2:
        with replacing(args.table2) as temporary:
            temporary.write_text(measured_tables.table2(measurements), encoding="utf-8")
