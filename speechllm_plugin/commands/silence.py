"""`speechllm silence`: a test set without speech, to see what a model says all the same."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from speechllm_plugin.data import features
from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.preparation import silent_split

LONGEST_SILENCE = 3600  # seconds
DEFAULT_NUM_UTTERANCES = 20
DEFAULT_SECONDS = (1.0, 10.0)


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help=f"prepared data folder; gets {silent_split.SPLIT}.tsv and {silent_split.SPLIT}/*.wav")
    add("--config-yaml", default="config.yaml", metavar="NAME", help="its data configuration (default: config.yaml)")
    add("--split", default="train", help="manifest whose languages the utterances get in turn (default: train)")
    add(
        "--num",
        type=int,
        default=DEFAULT_NUM_UTTERANCES,
        metavar="N",
        help=f"number of utterances; {', '.join(silent_split.SOUNDS)} in turn (default: {DEFAULT_NUM_UTTERANCES})",
    )
    add(
        "--seconds",
        type=float,
        nargs=2,
        default=DEFAULT_SECONDS,
        metavar=("A", "B"),
        help="the shortest and the longest utterance; the others lie evenly between (default: {:g} {:g})".format(*DEFAULT_SECONDS),
    )
    add("--seed", type=int, default=1, help="seed of the noise (default: 1)")


def run(args: Namespace) -> None:
    if args.num < 1:
        raise ValueError(f"--num must be at least 1, but is {args.num}")
    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, but is {args.seed}")
    shortest, longest = args.seconds
    window = features.WINDOW_SAMPLES / SAMPLE_RATE
    if not window <= shortest <= longest <= LONGEST_SILENCE:
        raise ValueError(
            f"--seconds must be two numbers, the second not less than the first, both at least {window} (one window) and at most "
            f"{LONGEST_SILENCE}, but is {shortest:g} {longest:g}"
        )
    data = Path(args.data)
    config = DataConfig.load(data / args.config_yaml)
    path, folder = data / f"{silent_split.SPLIT}.tsv", data / silent_split.SPLIT
    planned = silent_split.plan(folder, config, silent_split.languages(config, data / f"{args.split}.tsv"), args.num, (shortest, longest), args.seed)
    if silent_split.is_made(path, planned, config.audio_root):
        print(f"{path}: already there, {len(planned)} utterances")
        return
    silent_split.write(folder, planned, (shortest, longest), args.seed)
    print(f"{path}: {len(planned)} utterances ({', '.join(silent_split.SOUNDS)}), {shortest:g} to {longest:g} s, seed {args.seed}")
