"""Ogg: pages, the last of which has the mark of the end."""

from speechllm_plugin.data.containers.incomplete import cut_short
from speechllm_plugin.data.containers.patched_file import Data

_HEADER = 27  # bytes of a page before the table of its segments
_BEGINS, _ENDS = 2, 4  # flags of a page (RFC 3533, section 6)


def ogg(data: Data) -> None:
    """Vorbis, Opus, FLAC and Speex in Ogg; every stream must end with its mark, and streams must not follow each other."""
    position, running, num_ended = 0, set(), 0
    while data[position : position + 4] == b"OggS":
        num_segments = data[position + 26] if position + _HEADER <= len(data) else 255
        table = data[position + _HEADER : position + _HEADER + num_segments]
        end = position + _HEADER + num_segments + sum(table)
        if end > len(data):
            raise cut_short("it ends within a page of Ogg")
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
