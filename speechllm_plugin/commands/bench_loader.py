"""`speechllm bench loader`: how fast the batches of a data folder are made, from its stored features to fairseq's trainer.

--json FILE holds one object: `setting` (the flags), `start` and `measurements` (their keys: benchmarking/loader_benchmark.py).
"""

import json
import logging
import warnings
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from speechllm_plugin.benchmarking import loader_benchmark
from speechllm_plugin.benchmarking.loader_benchmark import LoaderMeasurement
from speechllm_plugin.files.atomic import check_writable, replacing


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", type=Path, help="folder that `speechllm prepare` or recipes/synthetic_data.py made")
    parser.add_argument("--split", default="train", metavar="NAME", help="read as in training, with its masks (default: %(default)s)")
    parser.add_argument(
        "--rows", type=int, metavar="N", help="repeat the rows of the split until there are so many, in a temporary manifest (default: as they are)"
    )
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="numbers to try (default: 0 1 2)")
    parser.add_argument("--max-tokens", type=int, default=40_000, metavar="N", help="frames of a batch with padding (default: %(default)s)")
    parser.add_argument("--num-batch-buckets", type=int, default=0, metavar="N", help="as in fairseq-train")
    parser.add_argument("--length-noise", type=float, default=0.0, metavar="P", help="as in fairseq-train")
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="of each number of workers, at most (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all numbers; speechllm_plugin/commands/bench_loader.py says which")


def run(args: Namespace) -> None:
    if min(args.workers) < 0:
        raise ValueError(f"--workers must not be negative (0 = the process itself), but is {min(args.workers)}")
    if args.seconds <= 0 or args.max_tokens < 1:
        raise ValueError(f"--seconds and --max-tokens must be positive, but are {args.seconds:g} and {args.max_tokens}")
    if args.rows is not None and args.rows < 1:
        raise ValueError(f"--rows must be at least 1, but is {args.rows}")
    if args.json:
        check_writable("--json", args.json)
    logging.getLogger("fairseq").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "'pin_memory' argument is set as true")  # by fairseq, also where there is no GPU
    batching = {"max_tokens": args.max_tokens}
    flags = {"num_batch_buckets": args.num_batch_buckets, "length_noise": args.length_noise}
    with TemporaryDirectory() as folder:
        split = args.split
        if args.rows is not None:
            split = f"{folder}/{args.split}"  # an absolute path, so that the rest of DATA is used as it is
            loader_benchmark.repeat_rows(args.data / f"{args.split}.tsv", args.rows, Path(f"{split}.tsv"))
        task, start = loader_benchmark.load(args.data, split, batching, flags)
    if start.batches < 2:
        raise ValueError(f"{args.data}: {args.split} must fill 2 batches of --max-tokens {args.max_tokens} at least; lower it, or give more data")
    print(
        f"{start.rows:,} rows: read in {start.read_seconds:.1f} s ({start.read_computing_seconds:.1f} s of computing), {start.batches:,} batches "
        f"planned in {start.plan_seconds:.2f} s; {start.main_mib:,.0f} MiB resident, {start.peak_mib:,.0f} at most, "
        f"{start.reader_mib:,.0f} of a process that read"
    )
    print("workers  batches  first batch s  frames/s  and worker  computing  main MiB  share  worker MiB  share")
    measurements = []
    for measured in loader_benchmark.run(task, split, batching, args.workers, args.seconds):
        measurements.append(measured)
        print(row(measured), flush=True)
    if args.json:
        setting = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items() if name != "run"}
        content = {"setting": setting, "start": vars(start), "measurements": [vars(measured) for measured in measurements]}
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def row(measured: LoaderMeasurement) -> str:
    def mib(value: float | None) -> str:
        return "-" if value is None else f"{value:,.0f}"

    return (
        f"{measured.workers:7}  {measured.batches:7,}  {measured.first_batch_seconds:13.2f}  {measured.frames_per_second:8,.0f}  "
        f"{measured.frames_per_second_and_worker:10,.0f}  {measured.frames_per_second_of_computing:9,.0f}  {mib(measured.main_mib):>8}  "
        f"{mib(measured.main_share_mib):>5}  {mib(measured.worker_mib):>10}  {mib(measured.worker_share_mib):>5}"
    )
