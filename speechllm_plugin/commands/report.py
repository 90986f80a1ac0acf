"""`speechllm report`: a comparison of finished runs, in one HTML file that needs nothing else."""

import shlex
import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from speechllm_plugin.files.atomic import check_writable, replacing
from speechllm_plugin.files.locks import locked_file
from speechllm_plugin.reporting.analysis import analyse
from speechllm_plugin.reporting.figures.palette import MOST_SYSTEMS
from speechllm_plugin.reporting.metric_choice import RECOGNITION, TRANSLATION
from speechllm_plugin.reporting.options import Options
from speechllm_plugin.reporting.results import Settings
from speechllm_plugin.reporting.runs import read_study
from speechllm_plugin.reporting.tables.table import latex, markdown
from speechllm_plugin.scoring.metrics import COMET, METRICS
from speechllm_plugin.scoring.significance import MOST_RESAMPLES
from speechllm_plugin.text.progress import with_progress

FORMATS = {"md": markdown, "tex": latex}


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="[NAME=]RUN[,RUN...]",
        help="folder that a recipe wrote; a comma joins the training seeds of one system; differences are the first system minus each other one",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="the report")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="all tables as Markdown and LaTeX: scores.md, scores.tex, slices.md ...")
    parser.add_argument("--title", help="of the page (default: the systems and the split)")
    what = parser.add_argument_group("what is compared")
    what.add_argument("--split", metavar="SPLIT", help="which generate-SPLIT.txt (default: the only one beside generate-silence.txt)")
    what.add_argument("--data", type=Path, metavar="DIR", help="folder of SPLIT.tsv, train.tsv, config.yaml (default: that of the first run's log)")
    what.add_argument(
        "--metrics",
        nargs="+",
        choices=[*METRICS, COMET],
        metavar="METRIC",
        help=f"of {' '.join([*METRICS, COMET])}; the first one is that of slices and utterances "
        f"(default: {' '.join(RECOGNITION)}, or {' '.join(TRANSLATION)})",
    )
    what.add_argument(
        "--slices",
        nargs="+",
        metavar="NAME",
        help="dimensions or columns of the manifest to slice by (default: every dimension for which the data has the facts)",
    )
    what.add_argument(
        "--speakers",
        type=Path,
        metavar="TSV",
        help="columns by speaker (accent, gender ...) that the manifest lacks; a column that is no dimension is sliced by only if --slices names it",
    )
    what.add_argument("--native", type=Path, metavar="YAML", help="which accents are native speakers' (default: scoring/native.yaml)")
    chance = parser.add_argument_group("chance")
    chance.add_argument(
        "--resamples",
        type=int,
        default=Settings().num_resamples,
        metavar="N",
        help="number of resamples of every interval and test (default: %(default)s)",
    )
    chance.add_argument("--seed", type=int, default=Settings().seed, metavar="N", help="of the resampling (default: %(default)s)")
    shown = parser.add_argument_group("utterances")
    shown.add_argument(
        "--examples",
        type=int,
        default=Options.num_examples,
        metavar="N",
        help="number of utterances shown, those with the greatest losses and differences (default: %(default)s)",
    )
    shown.add_argument("--utterances", nargs="+", default=[], metavar="ID", help="utterances to show as well; attention is then drawn for these")
    shown.add_argument(
        "--no-words",
        action="store_true",
        help="no list of the words that training lacks; with --examples 0 the page quotes nothing of the data, as what must not be published",
    )
    shown.add_argument("--no-audio", action="store_true", help="no players: the file is smaller")
    shown.add_argument("--no-checkpoints", action="store_true", help="do not read RUN/average.pt: no attention, no compression rates, no torch")
    shown.add_argument("--device", default="cpu", metavar="D", help="device that runs the checkpoints: cpu, cuda or cuda:N (default: %(default)s)")


def run(args: Namespace) -> None:
    check(args)
    with locked_file(args.out, "speechllm report"):
        write(args)


def write(args: Namespace) -> None:
    study = read_study(args.systems, args.split, args.data)
    options = Options(
        metrics=args.metrics,
        slices=args.slices,
        speakers=args.speakers,
        native=args.native,
        settings=Settings(args.resamples, args.seed),
        num_examples=args.examples,
        utterances=args.utterances,
        with_words=not args.no_words,
        with_audio=not args.no_audio,
        with_checkpoints=not args.no_checkpoints,
        device=args.device,
    )
    from speechllm_plugin.reporting import page

    analysis = analyse(study, options, progress=partial(with_progress, description="report", unit="step"))
    html = page.render(analysis, args.title, shlex.join(["speechllm", *sys.argv[1:]]))
    with replacing(args.out) as temporary:
        temporary.write_text(html, encoding="utf-8")
    for table in analysis.tables if args.tables is not None else ():
        for suffix, write in FORMATS.items():
            with replacing(args.tables / f"{table.name}.{suffix}") as temporary:
                temporary.write_text(write(table), encoding="utf-8")
    for outcome in analysis["verdict"]:
        print(outcome.headline, outcome.details)
    print(f"{args.out}  {args.out.stat().st_size / 2**20:.1f} MiB" + (f"\n{args.tables}" if args.tables is not None else ""))


def check(args: Namespace) -> None:
    """Check the arguments, before any file is read.

    Raises:
        ValueError: a library is missing, a number or a name is out of range, or a file cannot be written; the message says what to do.
    """
    for library in ("matplotlib", "jinja2"):
        if find_spec(library) is None:
            raise ValueError(f"a report needs {library}: pip install 'speechllm_plugin[report]'")
    if len(args.systems) > MOST_SYSTEMS:
        raise ValueError(f"a report can compare {MOST_SYSTEMS} systems that are told apart by colour and shape, but {len(args.systems)} were given")
    if not 1 <= args.resamples <= MOST_RESAMPLES:
        raise ValueError(f"--resamples must be from 1 to {MOST_RESAMPLES:,}, but is {args.resamples}")
    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, but is {args.seed}")
    if args.examples < 0:
        raise ValueError(f"--examples must not be negative, but is {args.examples}")
    if args.split is not None and "/" in args.split:
        raise ValueError(f"--split must be the name of a split, as in tst-COMMON, but is {args.split}")
    check_writable("--out", args.out)
    if args.tables is not None:
        check_writable("--tables", args.tables / "scores.md")
