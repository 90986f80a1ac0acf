"""`speechllm transcribe`: recordings become texts, with a model folder that `speechllm export` wrote."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.tasks.hot_word_decoding import DEFAULT_BONUS, listed_words
from speechllm_plugin.text.progress import DELAY_SECONDS
from speechllm_plugin.transcription import recordings
from speechllm_plugin.transcription.output_folder import OutputFolder
from speechllm_plugin.transcription.recordings import Recording
from speechllm_plugin.transcription.speech_model import COMPUTED_DTYPES, SpeechModel
from speechllm_plugin.transcription.transcript import Transcript
from speechllm_plugin.transcription.transcript_formats import TRANSCRIPT_FORMATS, TSV_HEADER
from speechllm_plugin.transcription.window_search import TranscriptionOptions

# Of recordings that are decoded together; their texts are written when all of them are there.
SECONDS_AT_ONCE = {"cpu": 600, "cuda": 3600}
SUBTITLES = ("srt", "vtt")


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", type=Path, help="folder that `speechllm export` wrote")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="recordings in any format that libsndfile reads, or ffmpeg where it is installed; folders of them; - is standard input",
    )
    parser.add_argument("--language", metavar="L", help="of the text, for a model that writes several")
    parser.add_argument("--format", choices=TRANSCRIPT_FORMATS, default="txt", help="of the texts (default: %(default)s)")
    parser.add_argument("--output", metavar="DIR", type=Path, help="write a file per recording here; those that are there already are not made again")
    parser.add_argument("--word-timestamps", action="store_true", help="times of words instead of segments; not in txt")
    parser.add_argument("--beam", type=int, default=5, metavar="K", help="hypotheses of the search (default: %(default)s)")
    parser.add_argument("--n-best", type=int, default=1, metavar="N", help="texts of each n-best list, for --format json (default: %(default)s)")
    parser.add_argument(
        "--ctc-decoding-weight", type=float, default=0.0, metavar="W", help="of the CTC head in the search, below 1; for recognition (default: 0)"
    )
    parser.add_argument("--hot-words", metavar="FILE", help="words or phrases that the search is to favour, one a line, spelled as a text has them")
    parser.add_argument(
        "--hot-word-bonus", type=float, metavar="B", help=f"of each of their characters, to the log probability (default: {DEFAULT_BONUS})"
    )
    parser.add_argument(
        "--dtype", choices=COMPUTED_DTYPES, default="float32", help="of the computation; bfloat16 is faster on GPUs (default: %(default)s)"
    )
    parser.add_argument("--device", metavar="D", help="cpu, cuda or cuda:N (default: cuda if there is one); threads of the CPU: OMP_NUM_THREADS")


def run(args: Namespace) -> None:
    if args.hot_words is None and args.hot_word_bonus is not None:
        raise ValueError(f"--hot-word-bonus {args.hot_word_bonus} has an effect only with --hot-words: leave it out")
    hot_words = [] if args.hot_words is None else [*listed_words(args.hot_words)]
    options = TranscriptionOptions(
        args.language, args.beam, args.n_best, args.ctc_decoding_weight, args.word_timestamps, hot_words, args.hot_word_bonus
    )
    if args.format == "txt" and args.word_timestamps:
        raise ValueError("--word-timestamps: text alone has no times; give --format json, tsv, srt or vtt")
    if args.format != "json" and args.n_best > 1:
        raise ValueError(f"--n-best {args.n_best}: --format {args.format} has one text of each recording; give --format json")
    named = recordings.named(args.files)
    if args.output is None and args.format in SUBTITLES and len(named) > 1:
        raise ValueError(f"--format {args.format} of {len(named)} recordings needs files of its own: give --output DIR")
    model = SpeechModel(args.model, args.device, args.dtype)
    search = model.search(options)
    output = (
        None if args.output is None else OutputFolder(args.output, args.format, {"model": model.digest, "dtype": args.dtype, **vars(options)}, named)
    )
    waiting = [recording for recording in named if output is None or recording not in output.finished]
    if output is None and args.format == "tsv":
        print(TSV_HEADER, end="")
    failures: list[str] = []
    with tqdm(total=len(named), initial=len(named) - len(waiting), unit="recording", delay=DELAY_SECONDS) as progress:
        for group in groups(model, waiting, failures):
            transcripts = model.transcribe_waveforms([waveform for _, waveform in group], search)
            for (recording, _), transcript in zip(group, transcripts):
                if output is not None:
                    output.write(recording, transcript)
                else:
                    progress.clear()
                    print(printed(recording.name, transcript, args.format, len(named)), end="", flush=True)
            progress.update(len(group))
        progress.update(len(failures))
    if output is not None:
        print(f"{args.output}: {len(named) - len(failures)} of {len(named)} recordings, {len(named) - len(waiting)} of them made before")
    if failures:
        raise ValueError(f"{len(failures)} of {len(named)} recordings could not be read: {'; '.join(failures)}")


def groups(model: SpeechModel, named: Sequence[Recording], failures: list[str]) -> Iterator[list[tuple[Recording, np.ndarray]]]:
    """Recordings and their waveforms, many together, as batches are of similar lengths; `failures` gets a line for each that cannot be read."""
    group: list[tuple[Recording, np.ndarray]] = []
    for recording, waveform in model.read_ahead(named):
        if isinstance(waveform, ValueError):
            failures.append(str(waveform))
            continue
        group.append((recording, waveform))
        if sum(len(waveform) for _, waveform in group) >= SECONDS_AT_ONCE[model.device.type] * SAMPLE_RATE:
            yield group
            group = []
    if group:
        yield group


def printed(name: str, transcript: Transcript, form: str, num_recordings: int) -> str:
    """The transcript for the terminal, with the name of its recording where there are several."""
    text = TRANSCRIPT_FORMATS[form](name, transcript)
    return f"{name}\t{text}" if form == "txt" and num_recordings > 1 else text
