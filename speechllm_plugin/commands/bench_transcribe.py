"""`speechllm bench transcribe`: how fast recordings become texts, and which stage takes the time; what hot words cost.

--json FILE holds one object: `device`, `dtype`, `measurements` (benchmarking/transcription_benchmark.py has their keys) and `hot_words`
(benchmarking/hot_word_benchmark.py).
"""

import json
import math
import shlex
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from speechllm_plugin.benchmarking import cut_recordings, random_folder
from speechllm_plugin.benchmarking.hot_word_benchmark import HotWordTimes, measure_hot_words
from speechllm_plugin.benchmarking.random_model import RandomModel, imitate_compression
from speechllm_plugin.benchmarking.training_measurement import GIBIBYTE
from speechllm_plugin.benchmarking.transcription_benchmark import STAGES, TranscriptionTimes, measure
from speechllm_plugin.benchmarking.update_profile import UpdateProfile
from speechllm_plugin.commands.bench_decode import MODEL_SIZES, add_size_arguments
from speechllm_plugin.describing.setting import Setting
from speechllm_plugin.files.atomic import check_writable, replacing
from speechllm_plugin.files.text_table import aligned_row
from speechllm_plugin.host.devices import device_name, existing_device
from speechllm_plugin.models.config import flag
from speechllm_plugin.transcription import recordings
from speechllm_plugin.transcription.speech_model import COMPUTED_DTYPES, SpeechModel
from speechllm_plugin.transcription.window_search import TranscriptionOptions

COLUMN_WIDTHS = (4, 9, 9, 9, 9, *(max(8, len(stage)) for stage in STAGES), 8)
RANGES = {"repeats": (1, 1000), "tokens": (2, math.inf), "hot_words": (1, 100_000), "seconds": (0.1, 3600), "recordings": (1, math.inf)}
MOST_CUT_SECONDS = 100 * 3600  # of wavs that are made: 12 GB


def add_arguments(parser: ArgumentParser) -> None:
    what = "folder that `speechllm export` wrote, then recordings and folders of them; with --model-file recordings alone"
    parser.add_argument("paths", nargs="+", metavar="MODEL FILE", help=what)
    parser.add_argument("--language", metavar="L", help="of the text, for a model that writes several")
    parser.add_argument("--beam", type=int, nargs="+", default=[1, 5], metavar="K", help="hypotheses of the search (default: 1 5)")
    parser.add_argument("--ctc-decoding-weight", type=float, default=0.0, metavar="W", help="of the CTC head in the search (default: 0)")
    parser.add_argument("--tokens", type=int, metavar="U", help="of every text, its end included, for models with random weights")
    parser.add_argument("--hot-words", type=int, metavar="N", help="search with a list of N made-up words as well, with an empty one and with none")
    bonus = "of each of their characters (default: as of transcribe); a high one may write longer texts, which take more steps"
    parser.add_argument("--hot-word-bonus", type=float, metavar="B", help=bonus)
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="timed passes after the first; the median counts (default: %(default)s)")
    parser.add_argument("--dtype", choices=COMPUTED_DTYPES, default="float32", help="of the computation (default: %(default)s)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda if there is one); threads of the CPU: OMP_NUM_THREADS")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all numbers; speechllm_plugin/commands/bench_transcribe.py says which")
    what = "for each beam a table of what a search runs, and its trace"
    parser.add_argument("--profile", type=Path, metavar="DIR", help=what)
    cut = parser.add_argument_group("recordings of one length")
    cut.add_argument("--seconds", type=float, metavar="S", help="cut wavs of this length from the recordings, and transcribe these")
    cut.add_argument("--recordings", type=int, metavar="N", help="so many of them (default: an hour)")
    files = parser.add_argument_group("models with random weights")
    files.add_argument(
        "--model-file", type=Path, nargs="+", metavar="FILE", help="make the folders of these models, as in recipes/models, and use them"
    )
    add_size_arguments(files)
    files.add_argument("--keep", type=Path, metavar="DIR", help="make folders and wavs here, for other commands, and leave them (default: they go)")


def run(args: Namespace) -> None:
    check(args)
    device = existing_device(args.device)
    choices = [TranscriptionOptions(args.language, beam, 1, args.ctc_decoding_weight) for beam in args.beam]
    random_models = read_models(args)
    named = recordings.named(args.paths if args.model_file else args.paths[1:])
    names = [model.name for model in random_models] or [Path(args.paths[0]).resolve().name]
    widths = [-max(map(len, ["model", *names])), *COLUMN_WIDTHS]
    times: list[dict] = []
    hot_words: list[dict] = []
    with working_folder(args.keep) as folder:
        if args.seconds is not None:
            number = round(3600 / args.seconds) if args.recordings is None else args.recordings
            named = recordings.named([str(cut_recordings.cut(named, args.seconds, number, folder))])
        if random_models:
            random_folder.write_data(folder, args.vocab_size, args.transcript_vocab_size)
        what = "seconds of audio per second (x), then seconds of each stage alone"
        print(f"device: {device_name(device)}, {args.dtype}; {len(named)} recordings; {what}")
        print(aligned_row(["model", "beam", "audio s", "windows", "tokens", "x", *STAGES, "peak GiB"], widths))
        for name, model in zip(names, loaded(args, folder, random_models)):
            for options in choices:
                profile = None if args.profile is None else UpdateProfile(device, 1, "a search")
                found = measure(model, named, options, args.repeats, args.tokens, profile)
                print(aligned_row(cells(name, found), widths), flush=True)
                times.append({"model": name, **found._asdict(), "speed": found.speed})
                if profile is not None:
                    times[-1]["profile"] = profile.write(args.profile, f"{name}-beam-{options.beam}", 1000 * found.stages["search"])
                if args.hot_words is not None:
                    searched = replace(options, n_best=options.beam, hot_word_bonus=args.hot_word_bonus)
                    compared = measure_hot_words(model, named, searched, args.hot_words, args.repeats, args.tokens)
                    print(sentence(name, compared), flush=True)
                    hot_words.append({"model": name, **compared._asdict(), "ratio": compared.ratio})
    if args.json is not None:
        content = {"device": device_name(device), "dtype": args.dtype, "measurements": times, "hot_words": hot_words}
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def check(args: Namespace) -> None:
    """Everything about the arguments that can be wrong is found before anything is made."""
    for name, (smallest, largest) in RANGES.items():
        value = getattr(args, name)
        if value is not None and not smallest <= value <= largest:
            rule = f"from {smallest} to {largest:,}" if largest < math.inf else f"at least {smallest}"
            raise ValueError(f"{flag(name)} must be {rule}, but is {value}")
    if args.hot_words is None and args.hot_word_bonus is not None:
        raise ValueError(f"--hot-word-bonus {args.hot_word_bonus} has an effect only with --hot-words: leave it out")
    if args.recordings is not None:
        if args.seconds is None:
            raise ValueError(f"--recordings {args.recordings} needs their length: give --seconds")
        if args.recordings * args.seconds > MOST_CUT_SECONDS:
            most = f"{MOST_CUT_SECONDS / args.seconds:.0f} of {args.seconds:g} seconds, which are {MOST_CUT_SECONDS // 3600} hours"
            raise ValueError(f"--recordings must be at most {most}, but is {args.recordings}")
    if not args.model_file:
        if len(args.paths) < 2:
            raise ValueError(f"{args.paths[0]}: a model and recordings are needed, but this is all: give MODEL FILE..., or --model-file")
        for name, default in MODEL_SIZES.items():
            if getattr(args, name) != default:
                raise ValueError(f"{flag(name)} {getattr(args, name)} is for models with random weights: give --model-file, or leave it out")
    if args.keep is not None:
        if not args.model_file and args.seconds is None:
            raise ValueError(f"--keep {args.keep}: nothing is made that could be kept: give --model-file or --seconds, or leave it out")
        if args.keep.exists():
            raise FileExistsError(f"--keep {args.keep}: is there already; give another folder, or remove it")
    if args.json is not None:
        check_writable("--json", args.json)
    if args.profile is not None:
        check_writable("--profile", args.profile / "trace")


def read_models(args: Namespace) -> list[RandomModel]:
    """The models of --model-file; none without it."""
    setting = Setting(args.vocab_size, args.transcript_vocab_size, args.seconds or 1.0, args.tokens or 1, max(args.beam), args.compression_rate)
    models = [RandomModel.read(path, shlex.split(args.model_flags), setting) for path in args.model_file or ()]
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name}: two model files have this name: rename one, so that the results can be told apart")
    return models


@contextmanager
def working_folder(keep: Path | None) -> Iterator[Path]:
    """A folder that vanishes in the end, unless it is to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        keep.mkdir(parents=True)
        yield keep


def loaded(args: Namespace, folder: Path, random_models: list[RandomModel]) -> Iterator[SpeechModel]:
    """The models, one after the other."""
    if not random_models:
        yield SpeechModel(args.paths[0], args.device, args.dtype)
    for random_model in random_models:
        random_folder.write_model(folder / random_model.name, folder, random_model)
        model = SpeechModel(folder / random_model.name, args.device, args.dtype)
        imitate_compression(model.model, random_model.setting)
        yield model


def cells(name: str, found: TranscriptionTimes) -> list[str]:
    """The row of the table."""
    numbers = [f"{found.beam}", f"{found.audio_seconds:.1f}", f"{found.num_windows}", f"{found.num_tokens}", f"{found.speed:.1f}"]
    peak = "–" if found.peak_bytes is None else f"{found.peak_bytes / GIBIBYTE:.2f}"
    return [name, *numbers, *(f"{seconds:.3f}" for seconds in found.stages.values()), peak]


def sentence(name: str, found: HotWordTimes) -> str:
    """What is printed about hot words."""
    seconds = ", ".join(f"{list_name} {each:.4f} s" for list_name, each in found.seconds.items())
    same = [f"{what}: {'yes' if is_same else 'NO'}" for what, is_same in (("none again", found.same_again), ("empty list", found.same_empty))]
    return (
        f"{name}, beam {found.beam}, search with hot words: {seconds} ({found.ratio:.3f} times none; tables {found.table_seconds:.2f} s); "
        f"the same n-best lists and scores, {', '.join(same)}; the words change {found.num_changed} of {found.num_windows} texts"
    )
