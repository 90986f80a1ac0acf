"""`speechllm stress`: harder test sets of a prepared one, with its texts: utterances joined to long ones, or each in noise."""

import itertools
import random
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from speechllm_plugin.data import audio, manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.features import FRAME_SHIFT_SECONDS
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files.locks import locked_file
from speechllm_plugin.preparation import stressed_split
from speechllm_plugin.preparation.noise import Background, pink_noise
from speechllm_plugin.preparation.stressed_split import Condition, Noise

DEFAULT_COLUMNS = ["speaker"]
NOISES = ("pink", "background")
LONGEST_SECONDS = 3600
SNR_LIMIT = 100  # dB: beyond, one of both is lost in 16 bits
ENOUGH_OF_LENGTH = 0.7
DEFAULT_MAX_FRAMES = 6000  # --max-source-positions of fairseq-generate with our task


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="prepared data folder; gets SPLIT-30s.tsv, SPLIT-pink10dB.tsv ... and their sounds in folders")
    add("--config-yaml", default="config.yaml", metavar="NAME", help="its data configuration (default: config.yaml)")
    add("--split", default="test", help="manifest whose utterances are taken; their recordings must be there (default: test)")
    add("--join", type=float, nargs="+", default=[], metavar="SECONDS", help="utterances one behind the other, to about so long; a test set for each")
    add(
        "--join-by",
        nargs="*",
        default=DEFAULT_COLUMNS,
        metavar="COLUMN",
        help="only utterances that agree in these columns are joined, in the manifest's order; none: all of a language (default: speaker)",
    )
    add("--snr", type=float, nargs="+", default=[], metavar="DB", help="each utterance in noise, at this ratio of mean powers; a test set for each")
    add("--noise", choices=NOISES, default="pink", help="pink, or background: the pauses of the corpus's own recordings (default: pink)")
    add("--noise-from", metavar="SPLIT", help="manifest whose recordings have the background (default: that of --split)")
    add("--seed", type=int, default=1, help="seed of the noise (default: 1)")


def run(args: Namespace) -> None:
    check(args)
    data = Path(args.data)
    config, utterances = DataConfig.load(data / args.config_yaml), manifest.read(data / f"{args.split}.tsv")
    for seconds in args.join:
        groups = stressed_split.groups_of(utterances, seconds, args.join_by)
        make(data, config, args.split, groups, Condition(f"{seconds:g}s{suffix_of(args.join_by)}", {}, "joined"), seconds)
    if args.snr:
        noise, recipe = noise_of(args, data, config, utterances)
        for snr in args.snr:
            columns = {"noise": args.noise, "snr_db": f"{snr:g}"}
            condition = Condition(f"{args.noise}{snr:g}dB", columns, f"{recipe} at {snr:g} dB, seed {args.seed}", snr, noise, args.seed)
            make(data, config, args.split, [[utterance] for utterance in utterances], condition)


def suffix_of(columns: Sequence[str]) -> str:
    """What follows the seconds in the name of a test set, so that those of other columns stand beside it."""
    return "" if list(columns) == DEFAULT_COLUMNS else f"-{'-'.join(columns) or 'all'}"


def check(args: Namespace) -> None:
    if not args.join and not args.snr:
        raise ValueError("give --join SECONDS or --snr DB, or both: each value makes a test set")
    for flag, values in (("--join", args.join), ("--snr", args.snr)):
        if len({f"{value:g}" for value in values}) < len(values):
            raise ValueError(f"{flag} names a value twice: {' '.join(f'{value:g}' for value in values)}")
    for seconds in args.join:
        if not 1 <= seconds <= LONGEST_SECONDS:
            raise ValueError(f"--join must be seconds from 1 to {LONGEST_SECONDS}, but is {seconds:g}")
    for snr in args.snr:
        if not -SNR_LIMIT <= snr <= SNR_LIMIT:
            raise ValueError(f"--snr must be dB from {-SNR_LIMIT} to {SNR_LIMIT}, but is {snr:g}")
    if args.noise_from and args.noise != "background":
        raise ValueError(f"--noise-from {args.noise_from} is where --noise background comes from, but that is {args.noise}: leave one of them out")
    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, but is {args.seed}")


def noise_of(args: Namespace, data: Path, config: DataConfig, utterances: Sequence[Utterance]) -> tuple[Noise, str]:
    """What makes the noise, and in words what it is made of."""
    if args.noise == "pink":
        return pink_noise, "pink noise"
    split = args.noise_from or args.split
    rows = list(manifest.read(data / f"{split}.tsv") if args.noise_from else utterances)
    random.Random(args.seed).shuffle(rows)
    try:
        background = Background(recordings(rows, config))
    except ValueError as error:
        raise ValueError(f"{data / split}.tsv: {error}") from error
    print(f"{data / split}.tsv: {background.seconds:.1f} s of background, in {len(background.stretches)} stretches")
    return background, f"background of {split}"


def recordings(rows: Sequence[Utterance], config: DataConfig) -> Iterator[np.ndarray]:
    for row in rows:
        yield audio.read(*stressed_split.source_of(row, config))


def make(data: Path, config: DataConfig, split: str, groups: Sequence[Sequence[Utterance]], condition: Condition, wanted: float = 0) -> None:
    """Make a test set, unless it is there, and say how long its utterances are, against the seconds that are wanted, and what decodes them."""
    name = f"{split}-{condition.name}"
    path, folder = data / f"{name}.tsv", data / name
    with locked_file(path, "speechllm stress"):
        planned = stressed_split.plan(folder, config, groups, condition)
        if stressed_split.is_made(path, planned, config.audio_root):
            print(f"{path}: already there, {len(planned)} utterances")
            return
        rows = stressed_split.write(folder, config, groups, planned, condition)
    seconds = sorted(row.n_frames * FRAME_SHIFT_SECONDS for row in rows)
    longest = max(row.n_frames for row in rows)
    shorter = ", less than asked for: --join-by has columns" if np.mean(seconds) < ENOUGH_OF_LENGTH * wanted else ""
    more = f" --max-source-positions {longest}" if longest > DEFAULT_MAX_FRAMES else ""
    num_utterances = len(list(itertools.chain(*groups)))
    print(
        f"{path}: {len(rows)} utterances of {num_utterances}, {np.mean(seconds):.1f} s each ({seconds[0]:.1f} to {seconds[-1]:.1f} s{shorter}); "
        f"decode with --gen-subset {name}{more}"
    )
