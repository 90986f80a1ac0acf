"""`speechllm bench decode`: time and memory of the beam search, with the models of model files and random weights.

--json FILE holds one object: `setting` (the flags, and the device), `measurements` (their keys: benchmarking/measurement.py) and
`comparisons` (of every other search with the plugin's: time_ratio and memory_ratio are its time and peak over the plugin's, same_texts the
share of sentences whose best hypothesis is the same).
"""

import json
import shlex
from pathlib import Path

import torch

from speechllm_plugin.benchmarking import measured_tables, plot, workload
from speechllm_plugin.benchmarking.measurement import measure
from speechllm_plugin.benchmarking.searches import WITH_CTC
from speechllm_plugin.benchmarking.workload import Batch, Workload
from speechllm_plugin.data import manifest
from speechllm_plugin.data.features import FRAMES_PER_SECOND
from speechllm_plugin.describing import model_file, model_flags
from speechllm_plugin.describing.setting import Setting, depends_on_data
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.generation.ctc_prefix import JointDecoding
from speechllm_plugin.host.devices import device_name, existing_device

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
BATCH, SECONDS = 40, 10.0
LABEL_LOGIT = 1e4  # far above those of any weights, and a number in 16 bits
MAX_TARGET_POSITIONS = 1024  # as --max-target-positions


def add_arguments(parser):
    kinds = parser.add_subparsers(dest="kind", metavar="decode", required=True)
    decode = kinds.add_parser("decode", help="the beam search", description="Measure time and memory of decoding, from features to n-best lists.")
    files = decode.add_argument_group("models")
    files.add_argument(
        "model_files",
        nargs="+",
        metavar="MODEL_FILE",
        type=Path,
        help="files that set MODEL_ARGS=(...), as those in recipes/models; they are read, not run",
    )
    files.add_argument("--model-flags", default="", metavar="'FLAGS'", help="flags appended to every MODEL_ARGS, as in '--decoder-layers 3'")
    files.add_argument("--vocab-size", type=int, default=8000, metavar="N", help="types of the target vocabulary (default: %(default)s)")
    files.add_argument("--transcript-vocab-size", type=int, default=5000, metavar="N", help="the same of CTC's vocabulary (default: %(default)s)")
    files.add_argument("--compression-rate", type=float, metavar="R", help="states before / after CTC compression (default: as `describe` assumes)")
    files.add_argument("--dtype", choices=DTYPES, default="float32", help="of the weights (default: %(default)s)")
    work = decode.add_argument_group("work")
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
    running = decode.add_argument_group("measuring")
    running.add_argument("--against", choices=["fairseq"], help="measure fairseq's generator too: a copy of the speech per hypothesis")
    running.add_argument("--ctc-decoding-weight", type=float, metavar="W", help="measure the plugin's search with CTC too, at this weight")
    running.add_argument("--repeats", type=int, default=3, metavar="N", help="timed passes after the first; the median counts (default: %(default)s)")
    running.add_argument("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda if there is one); threads of the CPU: OMP_NUM_THREADS")
    results = decode.add_argument_group("results, beside the lines that are printed")
    results.add_argument("--json", type=Path, metavar="FILE", help="all numbers; the docstring of bench.py has its keys")
    results.add_argument("--plot", type=Path, metavar="FILE", help="time and memory against seconds of audio: .png, .pdf or .svg; needs matplotlib")
    results.add_argument("--table2", type=Path, metavar="FILE", help="the study's Table 2 in Markdown: relative to row 1, beside the paper's figures")


def run(args):
    device = existing_device(args.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    utterances = None if args.manifest is None else read_manifest(args)
    base = Workload(args.batch, args.seconds or SECONDS, args.tokens, args.beam)
    if utterances is not None:
        frames = sum(utterance.n_frames for utterance in utterances)
        base = Workload(args.batch, frames / len(utterances) / FRAMES_PER_SECOND, args.tokens, args.beam)
    workloads = workload.sweep(base, args.sweep)
    searches = ["plugin", *([WITH_CTC] if args.ctc_decoding_weight is not None else []), *([args.against] if args.against else [])]
    models = [(path, *read_model(path, args)) for path in args.model_files]
    check(args, models, searches, workloads)

    name_width = max(len(path.stem) for path in args.model_files)
    measurements, comparisons = [], []
    print(f"device: {name_with_threads(device)}, {args.dtype}, vocabulary of {args.vocab_size:,}\n{measured_tables.heading(name_width)}", flush=True)
    for path, arch, cfg, setting in models:
        model = random_model(arch, cfg, setting, device, DTYPES[args.dtype])
        for work in workloads:
            batches = workload.noise(work) if utterances is None else workload.of_manifest(args.manifest, utterances, work)
            batches = [Batch(batch.features.to(device), batch.lengths.to(device), batch.num_tokens) for batch in batches]
            found = []
            for search in searches:
                options = {"no_repeat_ngram_size": args.no_repeat_ngram_size}
                if search == WITH_CTC:
                    options["joint"] = JointDecoding(args.ctc_decoding_weight, torch.arange(args.vocab_size) % args.transcript_vocab_size)
                measured, texts = measure(model, model.decoder.dictionary, path.stem, search, work, batches, args.repeats, **options)
                measured.compression_rate = setting.rate(cfg) if cfg.ctc_compression != "none" else None
                found.append((measured, texts))
                print(measured_tables.line(measured, name_width), flush=True)
            (ours, our_texts), *others = found
            for theirs, texts in others:
                comparisons.append(measured_tables.comparison(ours, theirs, share_of_same(our_texts, texts)))
                print(measured_tables.comparison_line(comparisons[-1], name_width), flush=True)
            measurements += [measured for measured, _ in found]
        del model
    write(args, device, measurements, comparisons)


def check(args, models, searches, workloads) -> None:
    """Everything that can be wrong is found before anything is measured."""
    if args.repeats < 1:
        raise ValueError(f"--repeats must be at least 1, but is {args.repeats}")
    if args.no_repeat_ngram_size < 0:
        raise ValueError(f"--no-repeat-ngram-size must not be negative (0 = off), but is {args.no_repeat_ngram_size}")
    if args.compression_rate is not None and not any(depends_on_data(cfg) for _, _, cfg, _ in models):
        raise ValueError("--compression-rate is for compression that depends on the data, but no model file has any: leave it out")
    if args.ctc_decoding_weight is not None:
        if not 0 < args.ctc_decoding_weight < 1:
            raise ValueError(f"--ctc-decoding-weight must be above 0 and below 1, but is {args.ctc_decoding_weight}")
        for path, _, cfg, _ in models:
            if not cfg.ctc_layer:
                raise ValueError(f"{path}: --ctc-decoding-weight needs a CTC head, but --ctc-layer is 0: leave one of them out")
    for work in workloads:
        num_tokens = work.num_tokens(round(work.seconds * FRAMES_PER_SECOND))
        if num_tokens > MAX_TARGET_POSITIONS:
            raise ValueError(f"texts can have {MAX_TARGET_POSITIONS} tokens, but {work.seconds:g} s get {num_tokens}: give --tokens")
    names = [path.stem for path, *_ in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name}: two model files have this name: rename one, so that the results can be told apart")
    if args.plot:
        if any(word.startswith("tokens=") for word in args.sweep):
            raise ValueError("--plot draws a line over seconds for each beam and batch: leave --sweep tokens out, or --plot")
        plot.check(args.plot)
    if args.table2:
        measured_tables.check_table2(names, searches, len(workloads))


def name_with_threads(device: torch.device) -> str:
    return device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def read_manifest(args) -> list[manifest.Utterance]:
    if args.seconds is not None or any(word.startswith("seconds=") for word in args.sweep):
        raise ValueError(f"--manifest {args.manifest} has lengths of its own: leave --seconds and --sweep seconds out")
    return manifest.read(args.manifest)


def read_model(path: Path, args):
    """Architecture, configuration and Setting of a model file."""
    flags = model_flags.read_flags(path) + shlex.split(args.model_flags)
    try:
        arch, cfg = model_file.parse(flags)
        rate = args.compression_rate if depends_on_data(cfg) else None
        setting = Setting(args.vocab_size, args.transcript_vocab_size, SECONDS, 1, args.beam, rate)
        setting.check(cfg)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return arch, cfg, setting


def random_model(arch: str, cfg, setting: Setting, device, dtype):
    """The model with the same random weights in every run. Compression that depends on the data finds as many states to a label as `setting` says."""
    torch.manual_seed(1)
    model = setting.build(arch, cfg, MAX_TARGET_POSITIONS).eval().to(device, dtype)
    if depends_on_data(cfg):
        model.encoder.ctc_head.register_forward_hook(lambda head, inputs, logits: label_runs(logits, setting.rate(cfg)))
    return model


def label_runs(logits, rate: float):
    """(B, S, V + 1) CTC logits whose best label, never the blank, changes every `rate` states."""
    position = torch.arange(logits.size(1), device=logits.device)
    logits[:, position, (position / rate).long() % (logits.size(2) - 1)] = LABEL_LOGIT
    return logits


def share_of_same(ours: list | None, theirs: list | None) -> float | None:
    if ours is None or theirs is None:
        return None
    return sum(one == other for one, other in zip(ours, theirs, strict=True)) / len(ours)


def write(args, device, measurements, comparisons) -> None:
    if args.json:
        flags = {name: [str(each) for each in value] if name == "model_files" else value for name, value in vars(args).items() if name != "run"}
        setting = {**flags, "device": name_with_threads(device), "torch": torch.__version__}
        content = {"setting": setting, "measurements": [vars(measured) for measured in measurements], "comparisons": comparisons}
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")
    if args.plot:
        plot.draw(args.plot, measurements)
    if args.table2:
        with replacing(args.table2) as temporary:
            temporary.write_text(measured_tables.table2(measurements), encoding="utf-8")
