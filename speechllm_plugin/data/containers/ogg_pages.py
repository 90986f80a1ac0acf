"""Ogg: pages, the last of which has the mark of the end. libsndfile leaves a damaged page out in silence."""

import zlib

from speechllm_plugin.data.containers.incomplete import cut_short
from speechllm_plugin.data.containers.patched_file import Data

_HEADER = 27  # bytes of a page before the table of its segments
_CHECKSUM = slice(22, 26)
_BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_BEGINS, _ENDS = 2, 4  # flags of a page (RFC 3533, section 6)


def ogg(data: Data) -> None:
    """Vorbis, Opus, FLAC and Speex in Ogg: every page must be as it was written, every stream end with its mark, and none follow another."""
    position, running, num_ended = 0, set(), 0
    while data[position : position + 4] == b"OggS":
        num_segments = data[position + 26] if position + _HEADER <= len(data) else 255
        table = data[position + _HEADER : position + _HEADER + num_segments]
        end = position + _HEADER + num_segments + sum(table)
        if end > len(data):
            raise cut_short("it ends within a page of Ogg")
        page = data[position:end]
        if _checksum(page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]) != int.from_bytes(page[_CHECKSUM], "little"):
            raise ValueError(f"the file is damaged: the checksum of the page of Ogg at byte {position} is another; replace the file")
        flags, stream = data[position + 5], data[position + 14 : position + 18]
        if flags & _BEGINS:
            if num_ended:  # libsndfile reads the first only
                raise ValueError("the file has several streams of Ogg one after another; write them as one, e.g. with ffmpeg -i OLD NEW")
            running.add(stream)
        if flags & _ENDS:
            running.discard(stream)
            num_ended += 1
        position = end
    if running or not num_ended:
        raise cut_short("it has no mark of the end of its stream of Ogg")


def _checksum(page: bytes) -> int:
    """The CRC of RFC 3533: zlib's without its inversions, of bits in the other order."""
    crc = zlib.crc32(page.translate(_BITS_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(crc.to_bytes(4, "little").translate(_BITS_REVERSED), "big")
