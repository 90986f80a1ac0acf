"""Sound from files of any kind, from standard input, and from arrays: 16 kHz mono."""

import io
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from speechllm_plugin.data import audio

STANDARD_INPUT = "-"
# What libsndfile reads, and what ffmpeg reads beside it: the files that are taken from a folder.
SOUND_SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64", ".sph"}
FFMPEG_SUFFIXES = {".m4a", ".mp4", ".aac", ".webm", ".mkv", ".mov", ".wma", ".amr", ".3gp", ".avi"}


class Recording(NamedTuple):
    """A recording of a command line.

    name: as a user knows it.
    source: file, or `-`.
    stem: of the file that its text is written to: the recording's own path from the folder on that was given, without its suffix.
    """

    name: str
    source: str
    stem: str


def named(arguments: Sequence[str]) -> list[Recording]:
    """The recordings that files, folders and `-` stand for, in their order, and sorted within a folder; each once.

    Raises:
        ValueError: a folder has none.
    """
    found: dict[str, Recording] = {}
    for argument in arguments:
        path = Path(argument)
        if argument == STANDARD_INPUT:
            found[argument] = Recording("stdin", argument, "stdin")
        elif path.is_dir():
            for each in files_below(path):
                found.setdefault(str(each), Recording(str(each), str(each), str(each.relative_to(path).with_suffix(""))))
        else:
            found.setdefault(argument, Recording(argument, argument, path.stem))
    return list(found.values())


def files_below(path: Path) -> list[Path]:
    """The recordings in a folder and its subfolders, sorted; at least one."""
    found = sorted(each for each in path.rglob("*") if each.suffix.lower() in SOUND_SUFFIXES | FFMPEG_SUFFIXES and each.is_file())
    if not found:
        raise ValueError(f"{path}: no recording in this folder (of {', '.join(sorted(SOUND_SUFFIXES | FFMPEG_SUFFIXES))}); name files")
    return found


def read_ahead(
    recordings: Sequence[Recording], read: Callable[[str], np.ndarray], num_readers: int
) -> Iterator[tuple[Recording, np.ndarray | ValueError]]:
    """Recordings with their waveforms, or why there is none, in order: while one is worked on, so many others are read or wait in memory."""

    def outcome(recording: Recording) -> np.ndarray | ValueError:
        try:
            return read(recording.source)
        except ValueError as error:
            return error

    with ThreadPoolExecutor(num_readers) as readers:
        waiting: deque[tuple[Recording, Future[np.ndarray | ValueError]]] = deque()
        for recording in recordings:
            waiting.append((recording, readers.submit(outcome, recording)))
            if len(waiting) > num_readers:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


def read(path: str | Path) -> np.ndarray:
    """The (num_samples,) waveform of a file, or of standard input for `-`.

    Raises:
        ValueError: it is missing, or neither libsndfile nor ffmpeg can read it.
    """
    if str(path) == STANDARD_INPUT:
        return decode(sys.stdin.buffer.read(), "standard input")
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such recording")
    try:
        return audio.decode(str(path), str(path))
    except ValueError:
        if is_sound(path):
            raise  # libsndfile knows the format: the file itself is the trouble
    return through_ffmpeg(path, str(path))


def decode(content: bytes, name: str) -> np.ndarray:
    """The waveform of a file's content."""
    if is_sound(io.BytesIO(content)):
        return audio.decode(content, name)
    with tempfile.NamedTemporaryFile() as file:  # an m4a may say only at its end what is where: ffmpeg must go back, as it cannot in a pipe
        file.write(content)
        file.flush()
        return through_ffmpeg(file.name, name)


def is_sound(file: str | Path | io.BytesIO) -> bool:
    """Whether libsndfile knows the format."""
    try:
        soundfile.info(file)
    except soundfile.LibsndfileError:
        return False
    return True


def through_ffmpeg(path: str | Path, name: str) -> np.ndarray:
    """The waveform of a file by ffmpeg. It goes on after errors and says so alone on standard error: then some of the sound is missing."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise ValueError(f"{name}: not a format that libsndfile reads, and there is no ffmpeg, which may; install ffmpeg, or convert it to wav")
    source = f"file:{path}"  # a name with a colon would be an address
    command = [program, "-v", "error", "-nostdin", "-i", source, "-vn", "-ac", "1", "-ar", str(audio.SAMPLE_RATE), "-f", "f32le", "pipe:1"]
    process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    waveform = np.frombuffer(process.stdout[: len(process.stdout) // 4 * 4], dtype="<f4").astype(np.float32)  # a copy, which may be written to
    errors = " ".join(process.stderr.decode(errors="replace").replace(source, name).split())[-200:]
    if process.returncode or not len(waveform):
        raise ValueError(f"{name}: neither libsndfile nor ffmpeg can read it ({errors or 'it has no sound'}); replace or convert the file")
    if errors:
        raise ValueError(f"{name}: damaged or cut short, ffmpeg says ({errors}); replace the file, or convert what is left of it to wav")
    return waveform


def from_array(samples: np.ndarray, sample_rate: int, name: str) -> np.ndarray:
    """The waveform of samples (num_samples,) or (num_samples, channels): floats in [-1, 1], or whole numbers of their type's range.

    Raises:
        ValueError: it has another shape, is empty, or is not finite.
    """
    samples = np.asarray(samples)
    if samples.dtype.kind == "i":
        samples = samples / -float(np.iinfo(samples.dtype).min)
    if samples.dtype.kind != "f" or samples.ndim not in (1, 2) or not samples.size or not np.isfinite(samples).all():
        raise ValueError(f"{name}: must be finite samples (num_samples,) or (num_samples, channels), but is {samples.dtype} {samples.shape}")
    mono = samples.astype(np.float32) if samples.ndim == 1 else samples.mean(axis=1, dtype=np.float32)
    return mono if sample_rate == audio.SAMPLE_RATE else soxr.resample(mono, sample_rate, audio.SAMPLE_RATE, quality="HQ")
