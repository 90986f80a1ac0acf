"""`speechllm bench scaling`: frames a second of trainings on 1, 2, 4 GPUs, through fairseq-train itself, on noise; on a CPU in so many processes.

--json FILE holds one object: `setting` (the flags, the device) and `measurements` (their keys: benchmarking/rank_training.py).
"""

import json
import math
import os
import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from tqdm import tqdm

from speechllm_plugin.benchmarking import noise_corpus, plot, rank_training, scaling_table, training_benchmark
from speechllm_plugin.benchmarking.random_model import RandomModel
from speechllm_plugin.benchmarking.rank_training import RankMeasurement
from speechllm_plugin.benchmarking.training_benchmark import PROFILED_UPDATES, Candidate, Training
from speechllm_plugin.commands.bench_decode import add_model_arguments
from speechllm_plugin.commands.bench_train import MOST_WORKERS
from speechllm_plugin.describing.setting import Setting
from speechllm_plugin.files.atomic import check_writable, replacing
from speechllm_plugin.host.devices import device_name, existing_device
from speechllm_plugin.text.progress import DELAY_SECONDS

LEAST_FRAMES = 1000  # of a batch: as utterances are no longer than it, less would be another corpus


def add_arguments(parser: ArgumentParser) -> None:
    add_model_arguments(parser)
    work = parser.add_argument_group("training")
    work.add_argument(
        "--gpus", type=int, nargs="+", default=[1, 2], metavar="N", help="numbers of GPUs, 1 among them (default: 1 2); on a CPU processes"
    )
    work.add_argument(
        "--frames", type=int, default=320_000, metavar="N", help="frames of an update of all GPUs; 0: not measured (default: %(default)s)"
    )
    work.add_argument(
        "--rank-frames", type=int, default=40_000, metavar="N", help="frames of an update of each; 0: not measured (default: %(default)s)"
    )
    work.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="of every utterance, so that all updates do the same and few are enough (default: MuST-C's lengths, 6.4 s on average)",
    )
    work.add_argument("--workers", type=int, metavar="N", help="that read data for each (default: its share of the cores, up to a few)")
    work.add_argument(
        "--train-flags", default="", metavar="'FLAGS'", help="more flags for fairseq-train, as '--num-batch-buckets 32 --cuda-graphs 64'"
    )
    running = parser.add_argument_group("measuring")
    running.add_argument("--updates", type=int, default=20, metavar="N", help="that are measured (default: %(default)s)")
    running.add_argument(
        "--warm-up",
        type=int,
        default=10,
        metavar="N",
        help="updates before them (default: %(default)s); with --cuda-graphs the table says in how many of the measured updates a graph was "
        "captured, in how many more a shape was new, and the ratio of the others",
    )
    running.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is one; threads of a process on a CPU: OMP_NUM_THREADS")
    results = parser.add_argument_group("results, beside the lines that are printed")
    results.add_argument("--json", type=Path, metavar="FILE", help="all numbers; speechllm_plugin/commands/bench_scaling.py says which")
    results.add_argument("--profile", type=Path, metavar="DIR", help="for each training a table of what its updates run, and a trace of three")
    results.add_argument("--plot", type=Path, metavar="FILE", help="frames a second against GPUs: .png, .pdf or .svg; needs matplotlib")


def run(args: Namespace) -> None:
    device = existing_device(args.device)
    check(args, device)
    setting = Setting(args.vocab_size, args.transcript_vocab_size, noise_corpus.MEAN_SECONDS, 1, 1, args.compression_rate)
    models = [RandomModel.read(path, shlex.split(args.model_flags), setting) for path in args.model_files]
    flags = ["--optimizer", "speechllm_adam", *shlex.split(args.train_flags)]
    candidates = [Candidate(model.name, "plugin", model, [*model.flags, *flags]) for model in models]
    print(f"device: {device_name(device)}; a line is a training, sums are those over GPUs with the time in which they wait for each other")
    measurements = measure(candidates, args, device)
    if args.plot:
        scaling_table.draw(args.plot, measurements)
    if args.json:
        given = {name: [str(each) for each in value] if name == "model_files" else value for name, value in vars(args).items() if name != "run"}
        machine = {"device": device_name(device), "torch": torch.__version__}
        with replacing(args.json) as temporary:
            content = {"setting": given | machine, "measurements": [vars(each) for each in measurements]}
            temporary.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def measure(candidates: list[Candidate], args: Namespace, device: torch.device) -> list[RankMeasurement]:
    """All trainings on the same corpus, those to be compared one after the other, and a line as soon as each is known."""
    works = [(f"{args.frames:,} an update", number, args.frames // number) for number in args.gpus if args.frames]
    works += [(f"{args.rank_frames:,} a rank", number, args.rank_frames) for number in args.gpus if args.rank_frames]
    measurements: list[RankMeasurement] = []
    name_width = max(len(candidate.name) for candidate in candidates)
    with TemporaryDirectory() as name, tqdm(total=len(works) * len(candidates), unit="training", delay=DELAY_SECONDS) as progress:
        lengths, num_utterances = corpus(works, args)
        noise_corpus.write(Path(name), lengths, args.vocab_size, args.transcript_vocab_size, num_utterances=num_utterances)
        progress.write(scaling_table.heading(name_width))
        for candidate in candidates:
            ones: dict[str, RankMeasurement] = {}
            for setting, number, max_tokens in works:
                progress.set_description(f"{candidate.name}, {number} x {max_tokens:,} frames")
                training = make_training(args, device, number, max_tokens, args.profile or Path(name, "profiles"))
                measured = rank_training.measure(candidate, training, Path(name), number, setting)
                one = ones.setdefault(setting, measured)
                measured.ratio = ratio(measured.frames_per_second, one.frames_per_second)
                measured.replaying_ratio = ratio(measured.replaying_frames_per_second, one.replaying_frames_per_second)
                measured.rest = rank_training.rest_beside(one, measured)
                measurements.append(measured)
                progress.update()
                progress.write(scaling_table.line(measured, name_width))
                if measured.rest is not None:
                    progress.write(scaling_table.rest_line(measured))
    return measurements


def corpus(works: list[tuple[str, int, int]], args: Namespace) -> tuple[np.ndarray, int]:
    """Lengths of recordings and the number of utterances, enough for every work; of one length they fill all its batches."""
    num_frames = (args.warm_up + args.updates + PROFILED_UPDATES) * max(number * max_tokens for _, number, max_tokens in works)
    of_update = 1 if args.seconds is None else math.lcm(*(number * training_benchmark.batch_size(size, args.seconds) for _, number, size in works))
    return training_benchmark.corpus(num_frames, args.seconds, min(max_tokens for _, _, max_tokens in works), of_update)


def ratio(number: float | None, of: float | None) -> float | None:
    """None where either was not measured."""
    return None if number is None or of is None else number / of


def make_training(args: Namespace, device: torch.device, number: int, max_tokens: int, profiles: Path) -> Training:
    on_gpu = device.type == "cuda"
    workers = args.workers
    if workers is None:
        workers = min(max(1, (os.cpu_count() or 1) // number), MOST_WORKERS) if on_gpu else 1
    flags = ["--num-workers", str(workers), *(["--bf16"] if on_gpu else [])]
    return Training(max_tokens, max_tokens, 1, args.warm_up, args.updates, device, flags, profiles)


def check(args: Namespace, device: torch.device) -> None:
    """Everything that can be wrong with numbers and places is found before anything is measured."""
    for name in ("updates", "warm_up"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, but is {getattr(args, name)}")
    for name in ("frames", "rank_frames"):
        if getattr(args, name) < 0:
            raise ValueError(f"--{name.replace('_', '-')} must not be negative (0 = not measured), but is {getattr(args, name)}")
    if not args.frames and not args.rank_frames:
        raise ValueError("--frames and --rank-frames are both 0, so that nothing would be measured: leave one of them out")
    args.gpus = sorted(set(args.gpus))
    if args.gpus[0] != 1:
        raise ValueError(f"--gpus must have 1, with which the others are compared, but is {' '.join(map(str, args.gpus))}")
    if device.type == "cuda" and args.gpus[-1] > torch.cuda.device_count():
        raise ValueError(f"--gpus {args.gpus[-1]} needs as many GPUs, but there are {torch.cuda.device_count()}")
    if args.workers is not None and args.workers < 0:
        raise ValueError(f"--workers must not be negative, but is {args.workers}")
    uneven = next((number for number in args.gpus if args.frames % number), None)
    if uneven:
        raise ValueError(f"--frames {args.frames} cannot be shared among {uneven} GPUs: give a multiple of {uneven}")
    smallest = min(size for size in (args.frames // args.gpus[-1], args.rank_frames) if size)
    if smallest < LEAST_FRAMES:
        raise ValueError(
            f"a batch of one GPU would have {smallest} frames, but needs {LEAST_FRAMES:,}: raise --frames or --rank-frames, or make one 0"
        )
    training_benchmark.check_seconds(args.seconds, smallest, "--frames or --rank-frames")
    if args.json:
        check_writable("--json", args.json)
    if args.profile:
        check_writable("--profile", args.profile / "trace")
    if args.plot:
        plot.check(args.plot)
