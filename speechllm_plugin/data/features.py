"""Filterbanks: computed from audio, read from archives, and normalised."""

import functools
import io
import mmap
import os
import re
import struct
import zlib

import kaldi_native_fbank
import numpy as np

from speechllm_plugin.data import audio

NUM_BINS = 80
FRAMES_PER_SECOND = 100
FRAME_SHIFT_SECONDS = 1 / FRAMES_PER_SECOND
WINDOW_SAMPLES = audio.SAMPLE_RATE * 25 // 1000
SHIFT_SAMPLES = audio.SAMPLE_RATE // FRAMES_PER_SECOND
# What a model's file says of its features.
SETTINGS = {"kind": "kaldi log-mel filterbanks", "sample_rate": audio.SAMPLE_RATE, "window_samples": WINDOW_SAMPLES, "shift_samples": SHIFT_SAMPLES}

INT16_SCALE = np.float32(32768)  # Kaldi computes on 16-bit values
_SPAN_IN_ARCHIVE = re.compile(r"(\d{1,18}):(\d{1,18})", re.ASCII)
# In front of a file in a zip: signature, version, flags, method, time, date, CRC-32, two sizes, lengths of the name and of what follows it.
_ZIP_HEADER = struct.Struct("<4s5H3I2H")
_ZIP_SIGNATURE = b"PK\x03\x04"
_ZIP_CHECKSUM_BEHIND = 1 << 3  # of the flags
_ZIP_LONGEST_NAMES = _ZIP_HEADER.size + 2 * 0xFFFF
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_NPY_PREAMBLE = len(_NPY_MAGIC) + 2  # the magic and the length of the header


def filterbanks(waveform: np.ndarray) -> np.ndarray:
    """Kaldi's log-mel filterbanks, 25 ms windows every 10 ms.

    Args:
        waveform: (num_samples,) float32 in [-1, 1], 16 kHz. Less than one window is filled up with zeros: a test
            utterance, however short, has a frame.

    Returns:
        (T, 80) float32, T = num_frames(num_samples).

    Raises:
        ValueError: the waveform is not finite, or so large that they would not be; the message does not say whose it is.
    """
    streamed = StreamedFilterbanks()
    streamed.accept(np.pad(waveform, (0, max(0, WINDOW_SAMPLES - len(waveform)))))
    return streamed.ready()


class StreamedFilterbanks:
    """The filterbanks of a waveform that arrives in parts, each frame from the moment on at which its window is complete."""

    def __init__(self) -> None:
        self.computer = kaldi_native_fbank.OnlineFbank(_fbank_options())
        self.frames: list[np.ndarray] = []
        self.num_samples = 0

    def accept(self, samples: np.ndarray) -> None:
        """Take the next (num_samples,) of the waveform; the ValueError of `filterbanks`."""
        audio.check_samples(samples)
        self.computer.accept_waveform(audio.SAMPLE_RATE, samples * INT16_SCALE)
        self.num_samples += len(samples)
        self.frames += [self.computer.get_frame(index) for index in range(len(self.frames), self.computer.num_frames_ready)]

    def ready(self) -> np.ndarray:
        """(T, 80) float32, the frames so far."""
        return np.stack(self.frames) if self.frames else np.empty((0, NUM_BINS), dtype=np.float32)


def num_frames(num_samples: int) -> int:
    """Frames of a 16 kHz waveform: whole windows only (Kaldi's snip_edges), at least one."""
    return max(1, 1 + (num_samples - WINDOW_SAMPLES) // SHIFT_SAMPLES)


def utterance_cmvn(features: np.ndarray) -> np.ndarray:
    """(T, C) features with mean 0 and variance 1 in every dimension; constant ones stay close to 0."""
    average = np.full(len(features), 1 / len(features), dtype=features.dtype)  # as a product: twice as fast as mean(axis=0)
    centred = features - average @ features
    centred /= np.sqrt(np.maximum(average @ np.square(centred), 1e-10))  # the floor is fairseq's
    return centred


def read(source: str, root, sample_bits: int | None = None) -> np.ndarray:
    """The features that an `audio` value of a manifest stands for.

    Args:
        source: `archive.zip:byte_offset:num_bytes`, `file.npy`, or audio as audio.read() takes it.
        root: folder that relative paths start from.
        sample_bits: to which audio is rounded; what is stored as features stays as it is.

    Returns:
        (T, C) float32; from an archive a read-only view of the mapped file.

    Raises:
        ValueError: the file is missing or unreadable, or holds no features there. Stored ones may have NaN: whoever normalises them
            looks, which costs less.
    """
    path, in_archive, span = source.partition(".zip:")
    if in_archive:
        return _read_archived(source, _mapped(root, path + ".zip"), span, sample_bits)
    if source.endswith(".npy"):
        with open(audio.locate(source, root), "rb") as file:
            content = file.read()
        if not content.startswith(_NPY_MAGIC):
            raise ValueError(f"{source}: not a numpy array as numpy.save writes them; make the file again")
        return _read_npy(source, content, 0, len(content))
    return filterbanks(audio.with_bits(audio.read(source, root), sample_bits))


def check_stored(source: str, root) -> None:
    """Compare what a zip stores for an `audio` value with the checksum in front of it; other values have none.

    Reading does not: for 10 s of speech it takes 90 us, and once for each utterance is enough.

    Raises:
        ValueError: a bit of it changed since it was written.
    """
    path, in_archive, span = source.partition(".zip:")
    if not in_archive:
        return
    mapped = _mapped(root, path + ".zip")
    start, end = _span(source, mapped, span)
    at = mapped.rfind(_ZIP_SIGNATURE, max(0, start - _ZIP_LONGEST_NAMES), start)
    header = _ZIP_HEADER.unpack_from(mapped, at) if at >= 0 else ()
    if not header or at + _ZIP_HEADER.size + sum(header[-2:]) != start:
        raise ValueError(f"{source}: no file of the archive begins there; prepare the data again")
    flags, crc = header[2], header[6]
    if flags & _ZIP_CHECKSUM_BEHIND:  # in an archive that was written as a stream
        return
    with memoryview(mapped) as content:
        if zlib.crc32(content[start:end]) != crc:
            raise ValueError(f"{source}: is not what was stored, its checksum is another: the archive is damaged; prepare the data again")


@functools.cache
def _fbank_options():
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = audio.SAMPLE_RATE
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = NUM_BINS
    return options


# One map per archive and process: forked workers share it, spawned ones open their own.
@functools.cache
def _mapped(root, path):
    located = audio.locate(path, root)
    if os.path.getsize(located) == 0:
        raise ValueError(f"{located}: the archive is empty; prepare the data again")
    with open(located, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _span(source, mapped, span):
    """The first byte in the archive, and the one behind the last."""
    place = _SPAN_IN_ARCHIVE.fullmatch(span)
    if place is None:
        raise ValueError(f"{source}: audio in an archive must be archive.zip:byte_offset:num_bytes; prepare the data again")
    start = int(place[1])
    end = start + int(place[2])
    if end > len(mapped):
        raise ValueError(f"{source}: the features end at byte {end}, but the archive has {len(mapped)} bytes; prepare the data again")
    return start, end


def _read_archived(source, mapped, span, sample_bits):
    start, end = _span(source, mapped, span)
    if mapped[start : start + len(_NPY_MAGIC)] == _NPY_MAGIC:
        return _read_npy(source, mapped, start, end)
    return filterbanks(audio.with_bits(audio.decode(mapped[start:end], source), sample_bits))


def _read_npy(source, data, start, end):
    first_value = start + _NPY_PREAMBLE + int.from_bytes(data[start + len(_NPY_MAGIC) : start + _NPY_PREAMBLE], "little")
    shape, dtype, order = _parse_npy_header(data[start:first_value])
    if len(shape) != 2 or first_value + shape[0] * shape[1] * dtype.itemsize != end:
        raise ValueError(f"{source}: must hold (frames, bins), but holds shape {shape} in {end - start} bytes; prepare the data again")
    values = np.frombuffer(data, dtype, shape[0] * shape[1], first_value)
    return values.reshape(shape, order=order).astype(np.float32, copy=False)


# Parsing costs more than the rest of a read; the headers of a corpus differ in the number of frames only.
@functools.lru_cache(maxsize=1 << 16)
def _parse_npy_header(header):
    stream = io.BytesIO(header)
    np.lib.format.read_magic(stream)
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    return shape, dtype, "F" if fortran_order else "C"
