"""`speechllm silence`: a test set without speech, DATA/silence.tsv, whose references are empty: every word that a model says is made up.

A third of the utterances is digital silence, as files have it; the others are noise. Features are normalised per utterance, which
removes the level and the colour of a steady noise, so that there is one whose level changes as that of speech does.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from speechllm_plugin.data import features, manifest
from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files.atomic import replacing

SPLIT = "silence"
NUM_UTTERANCES = 20
SECONDS = (1.0, 10.0)
QUIET_DBFS, LOUD_DBFS = -60, -30  # of the root mean square: of a quiet room, and of speech
SYLLABLES_PER_SECOND = 4


def digital_silence(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(num_samples)


def quiet_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """White noise, as of a microphone in a quiet room."""
    return at_level(rng.standard_normal(num_samples), QUIET_DBFS)


def speech_like_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Pink noise (power in proportion to 1 / frequency) that swells and falls at the pace of syllables."""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    swell = 1 - np.cos(2 * np.pi * SYLLABLES_PER_SECOND * np.arange(num_samples) / SAMPLE_RATE)
    return at_level(np.fft.irfft(spectrum, num_samples) * swell, LOUD_DBFS)


def at_level(waveform: np.ndarray, dbfs: float) -> np.ndarray:
    """The waveform with this root mean square, in dB relative to a full-scale sample."""
    return waveform * 10 ** (dbfs / 20) / np.sqrt(np.mean(np.square(waveform)))


# Column `kind`: makes the waveform, (num_samples,) in [-1, 1] at 16 kHz.
KINDS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "silence": digital_silence,
    "quiet noise": quiet_noise,
    "noise": speech_like_noise,
}


def add_arguments(parser):
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help=f"prepared data folder; gets {SPLIT}.tsv and {SPLIT}/*.wav")
    add("--config-yaml", default="config.yaml", metavar="NAME", help="its data configuration (default: config.yaml)")
    add("--split", default="train", help="manifest whose languages the utterances get in turn (default: train)")
    add("--num", type=int, default=NUM_UTTERANCES, metavar="N", help=f"utterances; {', '.join(KINDS)} in turn (default: {NUM_UTTERANCES})")
    add(
        "--seconds",
        type=float,
        nargs=2,
        default=SECONDS,
        metavar=("A", "B"),
        help="the shortest and the longest utterance; the others lie evenly between (default: {:g} {:g})".format(*SECONDS),
    )
    add("--seed", type=int, default=1, help="of the noise (default: 1)")


def run(args):
    if args.num < 1:
        raise ValueError(f"--num must be at least 1, but is {args.num}")
    if args.seed < 0:
        raise ValueError(f"--seed must not be negative, but is {args.seed}")
    shortest, longest = args.seconds
    if not features.WINDOW_SAMPLES / SAMPLE_RATE <= shortest <= longest < float("inf"):
        raise ValueError(
            f"--seconds must be two numbers, the second not less than the first and both at least {features.WINDOW_SAMPLES / SAMPLE_RATE} "
            f"(one window), but is {shortest:g} {longest:g}"
        )
    data = Path(args.data)
    config = DataConfig.load(data / args.config_yaml)
    path, folder = data / f"{SPLIT}.tsv", data / SPLIT
    utterances = plan(folder, config, languages(config, data / f"{args.split}.tsv"), args.num, (shortest, longest), args.seed)
    if path.exists():
        present = manifest.read(path)
        check_same(path, present, utterances)
        if all(Path(config.audio_root, utterance.audio).is_file() for utterance in present):
            print(f"{path}: already there, {len(utterances)} utterances")
            return
    for number, utterance in enumerate(utterances):
        waveform = KINDS[utterance.extra["kind"]](num_samples_of(number, args.num, (shortest, longest)), np.random.default_rng((args.seed, number)))
        with replacing(folder / Path(utterance.audio).name) as part:
            soundfile.write(part, waveform, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    manifest.write(path, utterances)
    print(f"{path}: {len(utterances)} utterances ({', '.join(KINDS)}), {shortest:g} to {longest:g} s, seed {args.seed}")


def plan(folder: Path, config: DataConfig, pairs: list[tuple[str, str]], num_utterances: int, seconds: tuple[float, float], seed: int):
    """The rows of the manifest. The names of the files say all that decides about their samples.

    Args:
        folder: where the files are going to be: in manifests, relative to the audio root if that is the data folder, else whole.
        pairs: (src_lang, tgt_lang) of the utterances, in turn.
        seconds: the shortest and the longest length.
    """
    is_beside = Path(config.audio_root).resolve() == folder.parent.resolve()
    start = folder.name if is_beside else folder.absolute().as_posix()
    rows = []
    for number in range(num_utterances):
        kind = list(KINDS)[number % len(KINDS)]
        source, target = pairs[number // len(KINDS) % len(pairs)]
        num_samples = num_samples_of(number, num_utterances, seconds)
        name = f"{number}_{kind.replace(' ', '_')}_{num_samples}_seed{seed}.wav"
        rows.append(
            Utterance(
                id=f"{SPLIT}_{number}",
                audio=f"{start}/{name}",
                n_frames=features.num_frames(num_samples),
                tgt_text="",
                src_lang=source,
                tgt_lang=target,
                extra={"kind": kind},
            )
        )
    return rows


def num_samples_of(number: int, num_utterances: int, seconds: tuple[float, float]) -> int:
    """Lengths lie evenly between the shortest and the longest."""
    shortest, longest = seconds
    return round(SAMPLE_RATE * (shortest + (longest - shortest) * number / max(1, num_utterances - 1)))


def languages(config: DataConfig, path: Path) -> list[tuple[str, str]]:
    """The pairs of languages of a manifest, sorted; of a model that transcribes as well, also the source twice."""
    pairs = {(utterance.src_lang, utterance.tgt_lang) for utterance in manifest.read(path)}
    if config.transcribe_probability:
        pairs |= {(source, source) for source, _ in pairs}
    return sorted(pairs)


def check_same(path: Path, present: list[Utterance], planned: list[Utterance]) -> None:
    """Raise ValueError if a manifest has other rows than planned, wherever its files are."""
    if list(map(_without_folder, present)) != list(map(_without_folder, planned)):
        raise ValueError(f"{path}: was made with other options or for other languages, or by somebody else; delete it to make it anew")


def _without_folder(utterance):
    return utterance.id, Path(utterance.audio).name, utterance.n_frames, utterance.tgt_text, utterance.src_lang, utterance.tgt_lang, utterance.extra
