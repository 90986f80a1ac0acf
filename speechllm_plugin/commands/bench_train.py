"""`speechllm bench train`: time and memory of a training through fairseq-train itself, and of the model alone, on noise.

--json FILE holds one object: `setting` (the flags, the device), `matrix_teraflops` (the rate of its matrix products), `measurements` (their keys:
benchmarking/training_measurement.py) and `comparisons` (benchmarking/training_benchmark.py); with --find-max-tokens `setting` and `found`
(benchmarking/largest_batch.py).
"""

import json
import os
import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from speechllm_plugin.benchmarking import largest_batch, noise_corpus, plot, training_benchmark, training_plot
from speechllm_plugin.benchmarking.matrix_rate import matrix_rate
from speechllm_plugin.benchmarking.random_model import RandomModel
from speechllm_plugin.benchmarking.training_benchmark import Candidate, Training
from speechllm_plugin.benchmarking.training_measurement import GIBIBYTE
from speechllm_plugin.commands.bench_decode import add_model_arguments
from speechllm_plugin.describing.setting import Setting
from speechllm_plugin.files.atomic import check_writable, replacing
from speechllm_plugin.host.devices import device_name, existing_device

TRAINED_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
MOST_WORKERS = 6


def add_arguments(parser: ArgumentParser) -> None:
    files = add_model_arguments(parser)
    files.add_argument("--against", choices=["s2t_conformer"], help="train fairseq's Conformer of the same sizes too, without CTC, with its own Adam")
    work = parser.add_argument_group("training")
    work.add_argument("--frames", type=int, default=320_000, metavar="N", help="frames (10 ms) of an update (default: %(default)s)")
    work.add_argument("--max-tokens", type=int, metavar="N", help="frames of a batch, its padding included (default: --frames / --update-freq)")
    work.add_argument("--update-freq", type=int, metavar="N", help="batches of an update (default: as many as --frames needs)")
    work.add_argument("--seconds", type=float, metavar="S", help="of every utterance (default: MuST-C's lengths, 6.4 s on average)")
    work.add_argument("--dtype", choices=TRAINED_DTYPES, help="default: bf16 on a GPU, fp32 on a CPU")
    work.add_argument("--optimizer", default="speechllm_adam", metavar="NAME", help="of fairseq-train (default: %(default)s)")
    work.add_argument(
        "--workers", type=int, metavar="N", help=f"that read data (default: on a GPU one a core, up to {MOST_WORKERS}; on a CPU 1, with --cpu-time 0)"
    )
    work.add_argument("--train-flags", default="", metavar="'FLAGS'", help="more flags for fairseq-train, for the models of the model files alone")
    running = parser.add_argument_group("measuring")
    running.add_argument("--updates", type=int, default=20, metavar="N", help="that are measured (default: %(default)s)")
    running.add_argument(
        "--warm-up",
        type=int,
        default=10,
        metavar="N",
        help="updates before them (default: %(default)s); with --cuda-graphs so many that few shapes are still to come: the table says in how many "
        "of the measured updates a graph was captured, in how many more a shape was new, and the mean milliseconds of the others",
    )
    running.add_argument("--rounds", type=int, default=1, metavar="N", help="how often all trainings are run in turn (default: %(default)s)")
    running.add_argument("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda if there is one); threads of the CPU: OMP_NUM_THREADS")
    running.add_argument(
        "--cpu-time",
        action="store_true",
        help="milliseconds are those that the process computes for, in all its threads, not those that pass: for a CPU that does other things too",
    )
    running.add_argument(
        "--find-max-tokens",
        action="store_true",
        help=f"measure no time, but find the largest batches that fit {largest_batch.SHARE_OF_MEMORY:.0%}% of the GPU's memory, up to --frames",
    )
    results = parser.add_argument_group("results, beside the lines that are printed")
    results.add_argument("--json", type=Path, metavar="FILE", help="all numbers; speechllm_plugin/commands/bench_train.py says which")
    results.add_argument("--profile", type=Path, metavar="DIR", help="for each training a table of what its updates run, and a trace of three")
    results.add_argument("--plot", type=Path, metavar="FILE", help="bars of what an update is made of: .png, .pdf or .svg; needs matplotlib")


def run(args: Namespace) -> None:
    device = existing_device(args.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    check(args, device)
    setting = Setting(args.vocab_size, args.transcript_vocab_size, noise_corpus.MEAN_SECONDS, 1, 1, args.compression_rate)
    models = [RandomModel.read(path, shlex.split(args.model_flags), setting) for path in args.model_files]
    dtype = args.dtype or ("bf16" if device.type == "cuda" else "fp32")
    training = make_training(args, device, dtype)
    candidates = [candidate for model in models for candidate in candidates_of(model, args)]

    content = {"found": find_max_tokens(candidates, training, args)} if args.find_max_tokens else measure(candidates, training, dtype, args)
    if args.json:
        flags = {name: [str(each) for each in value] if name == "model_files" else value for name, value in vars(args).items() if name != "run"}
        resolved = {"dtype": dtype, "max_tokens": training.max_tokens, "update_freq": training.update_freq}
        machine = {"device": device_name(device), "torch": torch.__version__}
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps({"setting": flags | resolved | machine, **content}, indent=2, default=str) + "\n", encoding="utf-8")


def measure(candidates: list[Candidate], training: Training, dtype: str, args: Namespace) -> dict[str, Any]:
    """All trainings, printed as they come and drawn at the end; what the JSON file gets."""
    rate = matrix_rate(training.device, TRAINED_DTYPES[dtype])
    print(f"device: {device_name(training.device)}, {dtype}; its matrix products reach {rate / 1e12:.4g} TFLOP/s")
    kind = "milliseconds of computing" if args.cpu_time else "milliseconds"
    print(f"an update: {training.update_freq} x {training.max_tokens:,} frames; {kind} are per {training.frames:,} frames", flush=True)
    num_frames = training.all_updates * training.max_tokens * training.update_freq
    of_batch = 1 if args.seconds is None else training_benchmark.batch_size(training.max_tokens, args.seconds)
    lengths, num_utterances = training_benchmark.corpus(num_frames, args.seconds, training.max_tokens, of_batch)
    with TemporaryDirectory() as folder:
        noise_corpus.write(Path(folder), lengths, args.vocab_size, args.transcript_vocab_size, num_utterances=num_utterances)
        measurements = training_benchmark.run(candidates, training, Path(folder), args.rounds, rate)
    if any(each.error for each in measurements):
        print("out of memory: --update-freq N makes an update of N smaller batches; --find-max-tokens finds the largest that fit a GPU")
    compared = training_benchmark.comparisons(measurements)
    for each in compared:
        print(training_benchmark.comparison_line(each))
    if args.plot:
        training_plot.draw(args.plot, measurements, training.frames)
    return {"matrix_teraflops": rate / 1e12, "measurements": [vars(each) for each in measurements], "comparisons": compared}


def find_max_tokens(candidates: list[Candidate], training: Training, args: Namespace) -> list[dict[str, Any]]:
    """For each model the flags of its largest batches, printed; what the JSON file gets."""
    found = []
    for candidate in candidates:
        sizes = largest_batch.find(candidate, training, (args.vocab_size, args.transcript_vocab_size))
        if sizes is None:
            raise ValueError(f"{candidate.name}: not even batches of {largest_batch.SMALLEST} frames fit the GPU's memory: use a larger one")
        found.append({"model": candidate.name, **vars(sizes)})
        print(
            f"{candidate.name}: --max-tokens {sizes.max_tokens} --update-freq {sizes.update_freq}  ({sizes.peak_bytes / GIBIBYTE:.1f} GiB)",
            flush=True,
        )
    return found


def check(args: Namespace, device: torch.device) -> None:
    """Everything that can be wrong with numbers and places is found before anything is measured."""
    for name in ("frames", "max_tokens", "update_freq", "updates", "warm_up", "rounds"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, but is {value}")
    if args.workers is not None and args.workers < 0:
        raise ValueError(f"--workers must not be negative, but is {args.workers}")
    if args.json:
        check_writable("--json", args.json)
    if args.profile:
        check_writable("--profile", args.profile / "trace")
    if args.plot:
        plot.check(args.plot)
    if args.cpu_time and device.type != "cpu":
        raise ValueError("--cpu-time does not count what a GPU computes: give --device cpu, or leave it out")
    if args.cpu_time and args.workers:
        raise ValueError(f"--cpu-time counts this process alone: --workers must be 0, but is {args.workers}")
    if args.find_max_tokens:
        if device.type != "cuda":
            raise ValueError("--find-max-tokens needs a GPU, whose memory it fills: on a CPU give --max-tokens")
        excluded = ("max_tokens", "update_freq", "seconds", "against", "profile", "plot")
        given = next((name for name in excluded if getattr(args, name) is not None), None)
        if given:
            raise ValueError(f"--{given.replace('_', '-')} has no place beside --find-max-tokens: leave one of them out")


def make_training(args: Namespace, device: torch.device, dtype: str) -> Training:
    """The work of an update, complete: what is not given follows from the rest."""
    update_freq = args.update_freq or -(-args.frames // (args.max_tokens or args.frames))
    max_tokens = args.max_tokens or -(-args.frames // update_freq)
    training_benchmark.check_seconds(args.seconds, max_tokens, "--max-tokens or --frames")
    workers = args.workers
    if workers is None:
        workers = min(os.cpu_count() or 1, MOST_WORKERS) if device.type == "cuda" else 0 if args.cpu_time else 1
    flags = ["--num-workers", str(workers), *(["--bf16"] if dtype == "bf16" else [])]
    return Training(args.frames, max_tokens, update_freq, args.warm_up, args.updates, device, flags, args.profile, args.cpu_time)


def candidates_of(model: RandomModel, args: Namespace) -> list[Candidate]:
    """The model of a model file, and fairseq's of the same sizes if one is asked for."""
    own = ["--optimizer", args.optimizer, *model.flags, *shlex.split(args.train_flags)]
    found = [Candidate(model.name, "plugin", model, own)]
    if args.against:
        if model.cfg.encoder != "conformer":
            raise ValueError(f"{model.path}: --against {args.against} needs a Conformer, but --encoder is {model.cfg.encoder}: leave one of them out")
        found.append(Candidate(model.name, args.against, None, ["--optimizer", "adam", *training_benchmark.peer(model.cfg)]))
    return found
