"""`speechllm bench KIND`: a kind is a file here with `add_arguments(parser)` and `run(args)`, as a command is, and one entry in BENCHMARKS."""

from argparse import ArgumentParser, Namespace

from speechllm_plugin.commands import bench_decode, bench_loader, bench_scaling, bench_train, bench_transcribe

# kind -> its file, its line in the help, what its own help says first
BENCHMARKS = {
    "decode": (bench_decode, "the beam search", "Measure time and memory of decoding, from features to n-best lists."),
    "transcribe": (bench_transcribe, "recordings to text", "Measure seconds of audio per second from files to texts, start-up apart, by stage."),
    "loader": (bench_loader, "reading of batches", "Measure how fast batches are made, from stored features to fairseq's trainer."),
    "scaling": (bench_scaling, "training on several GPUs", "Measure frames a second of training on several GPUs, through fairseq-train itself."),
    "train": (bench_train, "an update of training", "Measure time and memory of an update through fairseq-train, and of the model alone."),
}


def add_arguments(parser: ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for name, (module, summary, description) in BENCHMARKS.items():
        module.add_arguments(kinds.add_parser(name, help=summary, description=description))


def run(args: Namespace) -> None:
    module, *_ = BENCHMARKS[args.kind]
    module.run(args)
