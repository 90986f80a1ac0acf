"""`speechllm simulate`: texts that are written while the speech arrives; their quality and latency for several thresholds, as table and picture."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import torch

from speechllm_plugin.benchmarking import plot
from speechllm_plugin.data import manifest
from speechllm_plugin.data.features import FRAME_SHIFT_SECONDS
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files import text_table
from speechllm_plugin.files.atomic import check_writable, replacing
from speechllm_plugin.scoring.metrics import METRICS
from speechllm_plugin.simultaneous import instance_log, latency_plot, simulation_scores
from speechllm_plugin.simultaneous.incremental_model import CLOCKS, IncrementalModel
from speechllm_plugin.simultaneous.latency_units import UNITS
from speechllm_plugin.simultaneous.simulation import Simulated, Simulation, sounds, tag_of, waveform_of
from speechllm_plugin.text.progress import with_progress

SCORE_TABLE_FILE, LEAST_WIDTH = "scores.tsv", 6
SHORTEST_SEGMENT_MS = 1000 * FRAME_SHIFT_SECONDS  # less brings no frame, but one more run of the encoder


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        metavar="[NAME=]MODEL",
        help="folder that `speechllm export` wrote, or a checkpoint; NAME stands in the table (default: the last part of the path)",
    )
    add("--manifest", required=True, type=Path, metavar="TSV", help="utterances with their sound; for a checkpoint, in its data folder")
    frames = "states of speech (40 ms each): a token that attends most to one of the last N waits for more speech; several for a table"
    add(
        "--frame-threshold",
        type=int,
        nargs="+",
        default=[2, 4, 6, 8, 12, 16],
        metavar="N",
        help=f"{frames} (default: 2 4 6 8 12 16); `offline` waits for all of it",
    )
    add("--segment-ms", type=float, default=250, metavar="MS", help="milliseconds of sound that arrive at a time (default: %(default)s)")
    layer = "the one decoder layer whose attention to the speech counts, from 1 (default: all; a token waits if it does for any of them)"
    add("--attention-layer", type=int, metavar="N", help=layer)
    add("--beam", type=int, default=5, metavar="K", help="hypotheses of the search (default: %(default)s)")
    metrics = "of quality; the first is drawn (default: wer where the text is in the language of the speech, else bleu)"
    add("--metrics", nargs="+", choices=METRICS, help=metrics)
    units = "what is written at a time and what delays are of: char for languages without blanks (default: %(default)s)"
    add("--latency-unit", choices=UNITS, default="word", help=units)
    clock = "of computing time: cpu is the processor's, for one thread on a machine that others use as well (default: %(default)s)"
    add("--clock", choices=CLOCKS, default="wall", help=clock)
    add("--output", type=Path, metavar="DIR", help=f"write the delays of every utterance here, as SimulEval does, and the table ({SCORE_TABLE_FILE})")
    add("--plot", type=Path, metavar="FILE", help="draw quality against latency: .png, .pdf or .svg; needs matplotlib")
    add("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda if there is one); threads of the CPU: OMP_NUM_THREADS")


def run(args: Namespace) -> None:
    check_arguments(args)
    utterances = manifest.read(args.manifest)
    sound, unit = sounds(args.manifest, utterances), UNITS[args.latency_unit]
    metrics = [METRICS[name] for name in args.metrics or [default_metric(utterances)]]
    simulation_scores.check(utterances, metrics)
    models = {
        name: IncrementalModel.load(path, args.manifest.parent, args.device, beam=args.beam, layer=args.attention_layer, clock=args.clock)
        for name, path in named(args.models).items()
    }
    for name, model in models.items():
        check_languages(name, model, args.manifest, utterances)
    found: list[simulation_scores.Scores] = []
    heading = simulation_scores.headings(metrics)
    widths = [-max(map(len, [*models, heading[0]])), *(max(LEAST_WIDTH, len(title)) for title in heading[1:])]
    for name, model in models.items():
        simulation = Simulation(model, args.frame_threshold, args.segment_ms, unit)
        list(simulation(waveform_of(utterances[0], sound[0]), tag_of(model, utterances[0])))  # the first is slow, and not timed
        rows = [list(simulation(waveform_of(*row), tag_of(model, row[0]))) for row in with_progress(list(zip(utterances, sound)), name, "utterance")]
        if not found:
            print(f"{args.manifest}: {len(utterances)} utterances, {args.segment_ms:g} ms at a time, beam {args.beam}, {description(args)}")
            print(text_table.aligned_row(heading, widths))
        for of_threshold in zip(*rows):
            found.append(simulation_scores.scores(name, of_threshold, utterances, metrics, unit))
            print(text_table.aligned_row(simulation_scores.row(found[-1]), widths), flush=True)
            if args.output is not None:
                instance_log.write(folder_of(args.output, name, of_threshold), of_threshold, utterances, unit)
        print(f"{name}: {model.description()}")
    for metric in metrics:
        print(f"{metric.name}: {metric.signature([each.tgt_lang for each in utterances])}")
    if args.output is not None:
        with replacing(args.output / SCORE_TABLE_FILE) as temporary:
            lines = [heading, *map(simulation_scores.row, found)]
            temporary.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    if args.plot is not None:
        latency_plot.draw(args.plot, found, metrics[0])


def check_languages(name: str, model: IncrementalModel, path: Path, utterances: Sequence[Utterance]) -> None:
    """Raise ValueError where a text could not be right."""
    for utterance in utterances:
        if utterance.tgt_lang and model.languages and utterance.tgt_lang not in model.languages:
            written = ", ".join(model.languages)
            raise ValueError(f"{path}: the text of utterance {utterance.id} is in {utterance.tgt_lang} (tgt_lang), but {name} writes {written}")


def check_arguments(args: Namespace) -> None:
    for threshold in args.frame_threshold:
        if threshold < 0:
            raise ValueError(f"--frame-threshold must not be negative (0 = no token waits), but is {threshold}")
    if len(set(args.frame_threshold)) < len(args.frame_threshold):
        raise ValueError(f"--frame-threshold names a value twice: {' '.join(map(str, args.frame_threshold))}")
    if not SHORTEST_SEGMENT_MS <= args.segment_ms < float("inf"):
        raise ValueError(f"--segment-ms must be at least {SHORTEST_SEGMENT_MS:g} (a frame), and finite, but is {args.segment_ms:g}")
    if args.plot is not None:
        plot.check(args.plot)
        check_writable("--plot", args.plot)
    if args.output is not None:
        check_writable("--output", args.output / SCORE_TABLE_FILE)


def named(arguments: Sequence[str]) -> dict[str, Path]:
    """Name -> model: as given, else the last part of its path.

    Raises:
        ValueError: two have the same, or one is no name of a folder.
    """
    models: dict[str, Path] = {}
    for argument in arguments:
        name, _, path = argument.rpartition("=") if not Path(argument).exists() else ("", "", argument)
        name = name or Path(path).resolve().name
        if "/" in name or name in (".", ".."):
            raise ValueError(f"{argument}: the name of a model must have no slash, as it names a folder of --output, but is {name}")
        if name in models:
            raise ValueError(f"two models are named {name}: name them on the command line, as in other={path}")
        if not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such model: give a folder that speechllm export wrote, or a checkpoint")
        models[name] = Path(path)
    return models


def default_metric(utterances: Sequence[Utterance]) -> str:
    return "wer" if all(each.src_lang == each.tgt_lang for each in utterances) else "bleu"


def description(args: Namespace) -> str:
    return f"{args.latency_unit}s; computing by the {args.clock} clock, {torch.get_num_threads()} threads"


def folder_of(output: Path, name: str, of_threshold: Sequence[Simulated]) -> Path:
    threshold = of_threshold[0].threshold
    return output / name / (f"threshold-{threshold}" if isinstance(threshold, int) else threshold)
