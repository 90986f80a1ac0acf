"""`speechllm bench transcribe`: how fast a model folder makes texts of recordings, and which stage takes the time."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from speechllm_plugin.benchmarking.transcription_benchmark import STAGES, measure
from speechllm_plugin.files.atomic import check_writable, replacing
from speechllm_plugin.files.text_table import aligned_row
from speechllm_plugin.host.devices import device_name
from speechllm_plugin.transcription import recordings
from speechllm_plugin.transcription.speech_model import COMPUTED_DTYPES, SpeechModel
from speechllm_plugin.transcription.window_search import TranscriptionOptions

STAGE_WIDTHS = (4, 9, 9, 9, 9, *(max(8, len(stage)) for stage in STAGES))


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder that `speechllm export` wrote")
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings, and folders of them")
    parser.add_argument("--language", metavar="L", help="of the text, for a model that writes several")
    parser.add_argument("--beam", type=int, nargs="+", default=[1, 5], metavar="K", help="hypotheses of the search (default: 1 5)")
    parser.add_argument("--ctc-decoding-weight", type=float, default=0.0, metavar="W", help="of the CTC head in the search (default: 0)")
    parser.add_argument("--tokens", type=int, metavar="U", help="of every text, its end included, for models with random weights")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="timed passes after the first; the median counts (default: %(default)s)")
    parser.add_argument("--dtype", choices=COMPUTED_DTYPES, default="float32", help="of the computation (default: %(default)s)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda if there is one); threads of the CPU: OMP_NUM_THREADS")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all numbers")


def run(args: Namespace) -> None:
    if args.repeats < 1:
        raise ValueError(f"--repeats must be at least 1, but is {args.repeats}")
    if args.tokens is not None and args.tokens < 2:
        raise ValueError(f"--tokens must be at least 2, but is {args.tokens}")
    if args.json is not None:
        check_writable("--json", args.json)
    choices = [TranscriptionOptions(args.language, beam, 1, args.ctc_decoding_weight) for beam in args.beam]
    named = recordings.named(args.files)
    model = SpeechModel(args.model, args.device, args.dtype)
    results = []
    print(f"device: {device_name(model.device)}, {args.dtype}; {len(named)} recordings; seconds of audio per second (x), then of each stage alone")
    print(aligned_row(["beam", "audio s", "windows", "tokens", "x", *STAGES], STAGE_WIDTHS))
    for options in choices:
        found = measure(model, named, options, args.repeats, args.tokens)
        cells = [str(found.beam), f"{found.audio_seconds:.1f}", str(found.num_windows), str(found.num_tokens), f"{found.speed:.1f}"]
        print(aligned_row([*cells, *(f"{seconds:.3f}" for seconds in found.stages.values())], STAGE_WIDTHS), flush=True)
        results.append({**found._asdict(), "speed": found.speed})
    if args.json is not None:
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps({"device": device_name(model.device), "measurements": results}, indent=2) + "\n", encoding="utf-8")
