"""Waveforms from audio files of any format that libsndfile reads, as 16 kHz mono: the whole sound, or an error."""

import contextlib
import os
import re

import numpy as np
import soxr

from speechllm_plugin.data import sound_file
from speechllm_plugin.data.containers.incomplete import EmptySound

SAMPLE_RATE = 16000

_LARGEST_SAMPLE = 1e9  # filterbanks, whose power is a float of 32 bits, are finite up to 1e11

_SPAN = re.compile(r"(.+):(\d{1,18}):(\d{1,18})", re.DOTALL | re.ASCII)


def read(source: str, root) -> np.ndarray:
    """The waveform of a file or of a part of it.

    Args:
        source: `file` or `file:start_sample:num_samples`, samples at the file's own rate.
        root: folder that a relative `file` starts from.

    Returns:
        (num_samples,) float32 in [-1, 1], 16 kHz, channels averaged.

    Raises:
        EmptySound: there is no sound in it.
        ValueError: the file is missing, unreadable or cut short, the part ends past its end, or the waveform is not finite.
    """
    span = _SPAN.fullmatch(source)
    if span is None:
        return decode(locate(source, root), source)
    return decode(locate(span[1], root), source, int(span[2]), int(span[3]))


def locate(path: str, root) -> str:
    """The path of an audio file that exists."""
    located = os.path.join(root, path)
    if not os.path.isfile(located):
        raise ValueError(f"{located}: no such audio file; correct the path or audio_root in the data config")
    return located


def decode(source: str | bytes, name: str, start: int = 0, num_samples: int | None = None) -> np.ndarray:
    """The waveform of a path or of a file's content, as from read().

    Args:
        name: of the file, for errors.
        start: first sample, at the file's own rate.
        num_samples: at the file's own rate; None reads to the end.
    """
    with _named(name), sound_file.opened(source) as sound:
        length, rate = sound.num_samples, sound.rate
        wanted = length - start if num_samples is None else num_samples
        if start + wanted > length:
            raise ValueError(
                f"the utterance ends at sample {start + wanted}, but the file has {length} samples ({rate} Hz); correct its start and length"
            )
        if wanted <= 0:
            raise EmptySound("the waveform is empty (0 samples); remove the row or replace the file")
        waveform = sound.read(start, wanted)
        if len(waveform) < wanted:
            raise ValueError(f"the file is damaged or cut short, {len(waveform)} of {wanted} samples could be read; replace the file")
        check_samples(waveform)
    return np.ascontiguousarray(waveform if rate == SAMPLE_RATE else soxr.resample(waveform, rate, SAMPLE_RATE, quality="HQ"))


def check_samples(waveform: np.ndarray) -> None:
    """Raise ValueError for a waveform of which filterbanks would not be finite."""
    largest = np.abs(waveform).max(initial=0)
    if not np.isfinite(largest):
        raise ValueError("the waveform has NaN or infinite samples; replace the file")
    if largest > _LARGEST_SAMPLE:
        raise ValueError(f"samples reach {largest:.3g}, of which no filterbanks can be computed; scale the sound to between -1 and 1")


def with_bits(waveform: np.ndarray, bits: int | None) -> np.ndarray:
    """The waveform as samples of so many bits can hold it; None leaves it as it is."""
    if bits is None:
        return waveform
    scale = np.float32(2 ** (bits - 1))
    return np.rint(waveform * scale) / scale


def length_and_rate(path: str, root) -> tuple[int, int]:
    """Samples and sample rate (Hz) of a file."""
    with _named(path), sound_file.opened(locate(path, root)) as sound:
        return sound.num_samples, sound.rate


@contextlib.contextmanager
def _named(name):
    try:
        yield
    except ValueError as error:
        raise (EmptySound if isinstance(error, EmptySound) else ValueError)(f"{name}: {error}") from error
