"""Waveforms from audio files of any format that libsndfile reads, as 16 kHz mono."""

import os
import re

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16000

# libsndfile's length of an mp3 includes the padding of the encoder, up to two frames of 1152 samples, which it never gives out.
_UNREADABLE_SAMPLES = {"MP3": 2304}

_SPAN = re.compile(r"(.+):(\d+):(\d+)", re.DOTALL)


def read(source: str, root) -> np.ndarray:
    """The waveform of a file or of a part of it.

    Args:
        source: `file` or `file:start_sample:num_samples`, samples at the file's own rate.
        root: folder that a relative `file` starts from.

    Returns:
        (num_samples,) float32 in [-1, 1], 16 kHz, channels averaged.

    Raises:
        ValueError: the file is missing, unreadable or cut short, the part ends past its end, or the waveform is empty or not finite.
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


def decode(file, name: str, start: int = 0, num_samples: int | None = None) -> np.ndarray:
    """The waveform of a path or of an open binary file, as from read().

    Args:
        name: of the file, for errors.
        start: first sample, at the file's own rate.
        num_samples: at the file's own rate; None reads to the end.
    """
    try:
        with soundfile.SoundFile(file) as sound:
            length, rate, format_name = sound.frames, sound.samplerate, sound.format
            wanted = length - start if num_samples is None else num_samples
            if start + wanted > length:
                raise ValueError(
                    f"{name}: the utterance ends at sample {start + wanted}, but the file has {length} samples ({rate} Hz); "
                    "correct its start and length"
                )
            if wanted <= 0:
                raise ValueError(f"{name}: the waveform is empty (0 samples); remove the row or replace the file")
            if format_name == "MP3":  # libsndfile's seek arrives elsewhere in an mp3
                waveform = sound.read(start + wanted, dtype="float32", always_2d=True)[start:]
            else:
                sound.seek(start)
                waveform = sound.read(wanted, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{name}: not readable as audio ({error.error_string}); replace or convert the file") from error
    if not len(waveform) or len(waveform) + _UNREADABLE_SAMPLES.get(format_name, 0) < wanted:
        raise ValueError(f"{name}: the file is cut short, {len(waveform)} of {wanted} samples could be read; replace the file")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{name}: the waveform has NaN or infinite samples; replace the file")
    mono = waveform[:, 0] if waveform.shape[1] == 1 else waveform.mean(axis=1)
    return np.ascontiguousarray(mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ"))


def length_and_rate(path: str, root) -> tuple[int, int]:
    """Samples and sample rate (Hz) of a file, from its header."""
    located = locate(path, root)
    try:
        info = soundfile.info(located)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: not readable as audio ({error.error_string}); replace or convert the file") from error
    return info.frames, info.samplerate
