"""Sound files, opened: the length is that of the whole sound, and a file that is cut short does not open."""

import contextlib
import functools
import mmap
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import soundfile

from speechllm_plugin.data.containers import CONTAINERS, EXAMINED_FORMATS, mpeg_frames, ogg_pages
from speechllm_plugin.data.containers.incomplete import EmptySound
from speechllm_plugin.data.containers.mpeg_frames import MpegFrames
from speechllm_plugin.data.containers.patched_file import Data, PatchedFile

_RATES = range(1000, 1_000_001)  # Hz; at other rates, a small file would become as many samples as fill the memory
_VALUES_AT_ONCE = 1 << 22  # so that a file which promises what it does not have does not fill the memory


@dataclass(frozen=True)
class Sound:
    """An open file.

    num_samples: of each channel.
    rate: samples per second.
    read: read(start, num_samples) -> (num_samples,) float32, channels averaged; fewer where the file is damaged.
    """

    num_samples: int
    rate: int
    read: Callable[[int, int], np.ndarray]


@contextlib.contextmanager
def opened(source: str | bytes) -> Iterator[Sound]:
    """A file by its path, or by its content.

    Raises:
        EmptySound: there is no sound in it.
        ValueError: it is cut short, or cannot be read. The messages do not name the file.
    """
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(source, bytes):
                yield _open(stack, source, source, None)
            else:
                state = os.stat(source)
                # An empty file cannot be mapped.
                data = stack.enter_context(_mapped(source)) if state.st_size else b""
                yield _open(stack, source, data, (source, state.st_size, state.st_mtime_ns))
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", error) or "damaged or cut short"
        raise ValueError(f"not readable as audio ({reason}); replace or convert the file") from error


def _open(stack: contextlib.ExitStack, source: str | bytes, data: Data, known_as: tuple[str, int, int] | None) -> Sound:
    """An open file. known_as: path, size and time of change, of a file whose frames or pages are not looked at again for its next segment."""
    if not len(data):
        raise EmptySound("the file is empty (0 bytes); remove the row or replace the file")
    start = mpeg_frames.behind_tags(data, 0)
    examine = CONTAINERS.get(data[start : start + 4])
    if examine is None and mpeg_frames.may_begin(data, start):
        frames, before, num_samples = _examined_file(*known_as) if known_as else _examined(data)
        return Sound(num_samples, _checked_rate(frames.rate), lambda start, num_samples: _read_frames(frames, data, before + start, num_samples))
    if start and examine is not None:  # a tag before something else than MPEG audio
        source, data, known_as = data[start:], data[start:], None
    patched = None
    if examine is ogg_pages.ogg and known_as:
        _check_ogg_file(*known_as)
    elif examine is not None:
        patched = examine(data)
    file = patched or (source if isinstance(source, str) else PatchedFile(b"", data, 0))
    sound = stack.enter_context(soundfile.SoundFile(file))
    if examine is None:
        raise ValueError(f"{sound.format} files do not say how long they are; convert it to {EXAMINED_FORMATS}")
    if not sound.seekable():  # GSM 6.10, of which libsndfile takes a filling byte for sound
        raise ValueError(f"{sound.subtype} sound cannot be read in parts; convert it to {EXAMINED_FORMATS}")
    return Sound(sound.frames, _checked_rate(sound.samplerate), functools.partial(_read, sound))


def _read(sound: soundfile.SoundFile, start: int, num_samples: int) -> np.ndarray:
    sound.seek(start)
    return _joined(_blocks(sound, num_samples))


def _read_frames(frames: MpegFrames, data: Data, start: int, num_samples: int) -> np.ndarray:
    file, num_before = frames.piece(data, start, num_samples)
    with soundfile.SoundFile(file) as sound:
        return _joined(_blocks(sound, num_before + num_samples))[num_before:]


def _blocks(sound: soundfile.SoundFile, num_samples: int) -> Iterator[np.ndarray]:
    """The next samples of a file, or those that are left, as (n,) parts; channels averaged."""
    at_once = max(1, _VALUES_AT_ONCE // sound.channels)
    while num_samples > 0:
        wanted = min(num_samples, at_once)
        block = sound.read(wanted, dtype="float32", always_2d=True)
        yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
        num_samples = num_samples - wanted if len(block) == wanted else 0


def _joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    parts = list(blocks)
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])


@functools.lru_cache(maxsize=1024)
def _check_ogg_file(path: str, size: int, changed: int) -> None:
    with _mapped(path) as data:
        ogg_pages.ogg(data)


@functools.lru_cache(maxsize=8)
def _examined_file(path: str, size: int, changed: int) -> tuple[MpegFrames, int, int]:
    """As _examined, once for all segments of a file; another size or time of change is another file."""
    with _mapped(path) as data:
        return _examined(data)


def _examined(data: Data) -> tuple[MpegFrames, int, int]:
    """The frames of MPEG audio, how many samples come before its sound, and the number of these."""
    frames = mpeg_frames.frames_of(data)
    if not frames.num_samples:
        raise EmptySound("the file has no sound (no MPEG frame); remove the row or replace the file")
    if frames.padding:
        with soundfile.SoundFile(frames.whole(data)) as sound:
            if sound.frames == frames.num_samples - sum(frames.padding):  # libsndfile leaves the padding out
                before = frames.padding[0] + mpeg_frames.DECODER_DELAY
                return frames, before, min(sound.frames, frames.num_samples - before)
    return frames, 0, frames.num_samples


@contextlib.contextmanager
def _mapped(path: str) -> Iterator[mmap.mmap]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _checked_rate(rate: int) -> int:
    if rate not in _RATES:
        raise ValueError(f"the sample rate must be {_RATES[0]} to {_RATES[-1]} Hz, but is {rate}; correct the file")
    return rate
