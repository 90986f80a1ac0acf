"""A test set without speech, DATA/silence.tsv. Its references are empty: every word that a model says is made up.

A third of the utterances is digital silence, as files have it; the others are noise. Features are normalised per utterance, which
removes the level and the colour of a steady noise, so that there is one whose level changes as that of speech does.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from speechllm_plugin.data import features, manifest
from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.files.atomic import replacing
from speechllm_plugin.preparation.noise import pink_noise
from speechllm_plugin.text.progress import with_progress

SPLIT = "silence"
QUIET_DBFS, LOUD_DBFS = -60, -30  # root mean square of a quiet room, and of speech
SYLLABLES_PER_SECOND = 4


def digital_silence(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Zeros."""
    return np.zeros(num_samples)


def quiet_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """White noise, as of a microphone in a quiet room."""
    return at_level(rng.standard_normal(num_samples), QUIET_DBFS)


def speech_like_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Pink noise (power in proportion to 1 / frequency) that swells and falls at the pace of syllables."""
    noise = pink_noise(num_samples, rng)
    swell = 1 - np.cos(2 * np.pi * SYLLABLES_PER_SECOND * np.arange(num_samples) / SAMPLE_RATE)
    return at_level(noise * swell, LOUD_DBFS)


def at_level(waveform: np.ndarray, dbfs: float) -> np.ndarray:
    """The waveform with this root mean square, in dB relative to a full-scale sample."""
    return waveform * 10 ** (dbfs / 20) / np.sqrt(np.mean(np.square(waveform)))


# Column `kind`: makes the waveform, (num_samples,) in [-1, 1] at 16 kHz.
SOUNDS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "silence": digital_silence,
    "quiet noise": quiet_noise,
    "noise": speech_like_noise,
}


def plan(
    folder: Path, config: DataConfig, pairs: list[tuple[str, str]], num_utterances: int, seconds: tuple[float, float], seed: int
) -> list[Utterance]:
    """The rows of the manifest. The name of a file has all that its samples depend on.

    Args:
        folder: where the files are going to be.
        pairs: (src_lang, tgt_lang) of the utterances, in turn.
        seconds: the shortest and the longest length.
    """
    start, rows = start_of_audio(folder, config), []
    for number in range(num_utterances):
        kind = list(SOUNDS)[number % len(SOUNDS)]
        source, target = pairs[number // len(SOUNDS) % len(pairs)]
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


def start_of_audio(folder: Path, config: DataConfig) -> str:
    """How a manifest names a folder beside it: relative to the audio root if that is the data folder, else by its whole path."""
    is_beside = Path(config.audio_root).resolve() == folder.parent.resolve()
    return folder.name if is_beside else folder.absolute().as_posix()


def num_samples_of(number: int, num_utterances: int, seconds: tuple[float, float]) -> int:
    """The length of an utterance at 16 kHz; lengths lie evenly between the shortest and the longest."""
    shortest, longest = seconds
    return round(SAMPLE_RATE * (shortest + (longest - shortest) * number / max(1, num_utterances - 1)))


def languages(config: DataConfig, path: Path) -> list[tuple[str, str]]:
    """The (src_lang, tgt_lang) of a manifest, sorted; if the data makes models transcribe as well, also (src_lang, src_lang)."""
    pairs = {(utterance.src_lang, utterance.tgt_lang) for utterance in manifest.read(path)}
    if config.transcribe_probability:
        pairs |= {(source, source) for source, _ in pairs}
    return sorted(pairs)


def is_made(path: Path, planned: Sequence[Utterance], audio_root: Path) -> bool:
    """Whether the manifest and all of its files are there.

    Raises:
        ValueError: the manifest has other rows than planned, wherever its files are.
    """
    if not path.exists():
        return False
    present = manifest.read(path)
    if list(map(_without_folder, present)) != list(map(_without_folder, planned)):
        raise ValueError(f"{path}: was made with other options or for other languages, or by somebody else; delete it to make it anew")
    return all(Path(audio_root, utterance.audio).is_file() for utterance in present)


def write(folder: Path, planned: Sequence[Utterance], seconds: tuple[float, float], seed: int) -> None:
    """Write the sounds of the planned rows into their folder, then the manifest beside it."""
    for number, utterance in enumerate(with_progress(planned, SPLIT, "file")):
        make = SOUNDS[utterance.extra["kind"]]
        waveform = make(num_samples_of(number, len(planned), seconds), np.random.default_rng((seed, number)))
        with replacing(folder / Path(utterance.audio).name) as part:
            soundfile.write(part, waveform, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    manifest.write(folder.with_name(f"{SPLIT}.tsv"), planned)


def _without_folder(utterance: Utterance) -> tuple[object, ...]:
    return utterance.id, Path(utterance.audio).name, utterance.n_frames, utterance.tgt_text, utterance.src_lang, utterance.tgt_lang, utterance.extra
