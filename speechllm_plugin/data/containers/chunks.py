"""Containers that state the bytes of their sound: RIFF and its kin, IFF, CAF, AU, NIST SPHERE."""

import re
import struct

from speechllm_plugin.data.containers.incomplete import cut_short
from speechllm_plugin.data.containers.patched_file import Data, PatchedFile

# What programs write into 32 bits when they cannot go back and fill in the length: sox (AIFF, then WAV), arecord, and the largest numbers.
# Kaldi's wave-reader.cc takes most of them for the same.
_OPEN_ENDED = {0x7F000000, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000, *range(0xFFFFFF00, 0x100000000)}
_OPEN_ENDED_64 = {0, 2**63 - 1, 2**64 - 1}

_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_DS64_DATA_SIZE = 28  # its offset in an RF64 file: behind RF64, size, WAVE, ds64, size, size of RIFF


def riff(data: Data) -> PatchedFile | None:
    """WAV, of either byte order."""
    order = "<" if data[:4] == b"RIFF" else ">"
    start, size = _sound_chunk(data, 12, f"{order}4sI", b"data")
    (riff_size,) = struct.unpack_from(f"{order}I", data, 4)
    rest = len(data) - start
    if size == 0 and rest and riff_size + 8 != len(data):  # a stream; a file without sound, which may have other chunks, knows its length
        return _with_size(data, start - 4, struct.pack(f"{order}I", rest))
    is_of_the_file = size in (len(data), len(data) - 8)  # what some programs write for the size of the sound
    if size not in _OPEN_ENDED and not is_of_the_file:  # libsndfile reads these to the end of the file
        _check_end(data, start, size)
    return None


def rf64(data: Data) -> PatchedFile | None:
    """WAV with a length of 64 bits, as of EBU Tech 3306."""
    if data[12:16] != b"ds64" or len(data) < 36:
        raise cut_short("it has no ds64 chunk, which states its length")
    start, size = _sound_chunk(data, 12, "<4sI", b"data")
    if size == 0xFFFFFFFF:
        (size,) = struct.unpack_from("<Q", data, _DS64_DATA_SIZE)
        if size in _OPEN_ENDED_64:
            return _with_size(data, _DS64_DATA_SIZE, struct.pack("<Q", len(data) - start))
    _check_end(data, start, size)
    return None


def w64(data: Data) -> PatchedFile | None:
    """Sony Wave64; sizes include the 24 bytes of a chunk's header, and chunks begin at multiples of 8."""
    start, size = _sound_chunk(data, 40, "<16sQ", _W64_DATA, align=8, with_header=True)
    if size + 24 in _OPEN_ENDED_64:
        return _with_size(data, start - 8, struct.pack("<Q", len(data) - start + 24))
    _check_end(data, start, size)
    return PatchedFile(b"", data, 0, start + size)  # libsndfile would take what stands behind for sound


def iff(data: Data) -> PatchedFile | None:
    """AIFF and AIFC."""
    if data[8:12] not in (b"AIFF", b"AIFC", b""):
        raise ValueError("an IFF file must be AIFF or AIFC; convert it to WAV or FLAC")
    start, size = _sound_chunk(data, 12, ">4sI", b"SSND")
    if size and size not in _OPEN_ENDED:  # libsndfile reads those to the end of the file
        _check_end(data, start, size)
    return None


def caf(data: Data) -> PatchedFile | None:
    """Apple's Core Audio Format; -1 is an open length."""
    start, size = _sound_chunk(data, 8, ">4sQ", b"data")
    if size in _OPEN_ENDED_64:
        return _with_size(data, start - 8, struct.pack(">Q", len(data) - start))
    _check_end(data, start, size)
    return None


def au(data: Data) -> PatchedFile | None:
    """Sun's AU, of either byte order."""
    order = ">" if data[:4] == b".snd" else "<"
    start, size = struct.unpack_from(f"{order}II", data, 4) if len(data) >= 12 else (24, 1)
    if size == 0 and len(data) > start:
        return _with_size(data, 8, struct.pack(f"{order}I", len(data) - start))
    if size not in _OPEN_ENDED:
        _check_end(data, start, size)
    return None


def nist(data: Data) -> PatchedFile:
    """NIST SPHERE, whose header is text."""
    header = re.match(rb"NIST_1A\n\s*(\d{1,9})\n", data[:24])
    start = int(header[1]) if header else 1024
    counts = dict(re.findall(rb"^(sample_count|channel_count|sample_n_bytes) -i (\d{1,15})\s*$", data[:start], re.MULTILINE))
    if len(counts) < 3:
        raise cut_short("its header lacks sample_count, channel_count or sample_n_bytes")
    size = 1
    for count in counts.values():
        size *= int(count)
    _check_end(data, start, size)
    return PatchedFile(b"", data, 0, start + size)  # as in W64


def _sound_chunk(data: Data, position: int, header: str, sought: bytes, align: int = 2, with_header: bool = False) -> tuple[int, int]:
    """Where the bytes of the sound begin, and how many the file promises."""
    num_bytes = struct.calcsize(header)
    while position + num_bytes <= len(data):
        name, size = struct.unpack_from(header, data, position)
        size -= num_bytes if with_header else 0
        if name == sought:
            return position + num_bytes, size
        position += num_bytes + max(0, size)
        position += -position % align
    raise cut_short("it ends before its sound begins")


def _check_end(data: Data, start: int, size: int) -> None:
    if start + size > len(data):
        raise cut_short(f"it promises {size} bytes of sound and has {max(0, len(data) - start)}")


def _with_size(data: Data, position: int, size: bytes) -> PatchedFile:
    return PatchedFile(data[:position] + size, data, position + len(size))
