"""MPEG audio (mp3): a row of frames. They are counted, since a file states its length in a frame of its own or not at all.

libsndfile guesses a length that is not stated from the first frame, and its seek arrives elsewhere. Any run of frames is again a file.
"""

import functools
import itertools
from array import array
from dataclasses import dataclass

from speechllm_plugin.data.containers.incomplete import cut_short
from speechllm_plugin.data.containers.patched_file import Data, PatchedFile

# Of a frame's header (ISO/IEC 11172-3, section 2.4.2.3, and its extensions to lower rates), by version: 3 is 1, 2 is 2, 0 is 2.5.
_SAMPLE_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KILOBITS = {  # by whether the version is 1, and by layer: 3 is I, 2 is II, 1 is III
    (True, 3): range(32, 449, 32),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_LOWEST_RATE = 1  # the code of the first of them

# A frame takes up to 511 bytes from those before it, which in the smallest frames (24 bytes, 11 of them its own) are 47 frames; the
# decoder's filters remember two more.
_MOST_FRAMES_BEFORE = 64
_FRAMES_HEARD_BEFORE = 8
# After so many frames, the decoder sums in the same order again: a piece is the same, bit by bit, as that part of the whole.
_ALIKE = 8
_LONGEST_TAG_BEHIND = 128  # bytes, of ID3v1
DECODER_DELAY = 529  # samples that a decoder adds to the encoder's delay
_TAG = b"ID3\x04" + bytes(5) + b"\x0a" + bytes(10)  # without one, libsndfile does not open an mp3 that is no file of its own


@dataclass(frozen=True)
class MpegFrames:
    """The frames of a file.

    starts: offset of each frame with sound, and the end of the last.
    rate: samples per second.
    samples_per_frame: of each.
    padding: samples that the encoder put before and after the sound, if it says so.
    length_frame: offset of the frame that says so.
    """

    header: bytes
    starts: array
    rate: int
    samples_per_frame: int
    padding: tuple[int, int] | None
    length_frame: int

    @property
    def num_samples(self) -> int:
        """Samples of all frames."""
        return (len(self.starts) - 1) * self.samples_per_frame

    def whole(self, data: Data) -> PatchedFile:
        """The file from its length frame on."""
        return PatchedFile(_TAG, data, self.length_frame)

    def piece(self, data: Data, start: int, num_samples: int) -> tuple[PatchedFile, int]:
        """A file with some samples of this one, and how many others come before them."""
        first = max(0, start // self.samples_per_frame - _MOST_FRAMES_BEFORE) // _ALIKE * _ALIKE
        last = min(len(self.starts) - 1, -(-(start + num_samples) // self.samples_per_frame) + 1)
        # From the length of its first frame, libsndfile guesses how many there are: with the shortest in front, not too few.
        head, heard = _TAG + _ALIKE * _silent_frame(self.header), first
        if first:  # these frames lack bytes of those before them, and are needed for their own bytes only
            heard += _MOST_FRAMES_BEFORE - _FRAMES_HEARD_BEFORE
            head += b"".join(_silenced(data[begin:end]) for begin, end in itertools.pairwise(self.starts[first : heard + 1]))
        file = PatchedFile(head, data, self.starts[heard], self.starts[last])
        return file, start + (_ALIKE - first) * self.samples_per_frame


def may_begin(data: Data, position: int) -> bool:
    """Whether MPEG audio begins here, behind a tag or as a file without one."""
    return bool(position) or (data[:1] == b"\xff" and data[1:2] >= b"\xe0")


def frames_of(data: Data) -> MpegFrames:
    """The frames of a file; none where there is nothing but tags and a length frame.

    Raises:
        ValueError: the file ends within a frame, has fewer than its length frame says, or is no MPEG audio.
    """
    starts, header = _starts(data)
    if header is None:
        if len(data) - behind_tags(data, 0) > _LONGEST_TAG_BEHIND:
            raise ValueError("not readable as audio (no MPEG frame); replace or convert the file")
        return MpegFrames(b"", array("Q", [0]), 0, 0, None, 0)
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    promised, padding = _length(data[starts[0] : starts[1]], header)
    length_frame = starts[0]
    if promised is not None:
        del starts[0]  # no sound
    is_cut = starts[-1] > len(data) or (data[starts[-1] : starts[-1] + 1] == b"\xff" and len(data) - starts[-1] < 4)
    if starts[-1] > len(data):
        del starts[-1]
    num_frames = len(starts) - 1
    # An encoder may have counted the length frame too.
    if (num_frames < (promised or 0) - 1) or (is_cut and (not promised or num_frames < promised)):
        of = f" of {promised}" if promised else ""
        raise cut_short(f"it has {num_frames}{of} MPEG frames" + (" and a part of the next" if is_cut else ""))
    rate = _SAMPLE_RATES[version][header[2] >> 2 & 3]
    samples = 384 if layer == 3 else 576 if layer == 1 and version != 3 else 1152
    return MpegFrames(header, starts, rate, samples, padding if promised == num_frames else None, length_frame)


def _starts(data: Data) -> tuple[array, bytes | None]:
    """The offset of every frame and the end of the last, which is behind the end of a cut file; and the header of the first."""
    starts, end, header = array("Q"), 0, None
    position = behind_tags(data, 0)
    size, alike, lengths = len(data), -1, [0] * 256
    while position + 4 <= size:
        if data[position] == 0xFF and data[position + 1] & 0xFE == alike and (length := lengths[data[position + 2]]):
            starts.append(position)
            position = end = position + length
            continue
        found = _next_frame(data, position, header)
        if found is None:
            break
        position = found
        if header is None:
            header = data[position : position + 4]
            alike, lengths = header[1] & 0xFE, _lengths(header[1] & 0xFE, header[2] & 0x0C)
    starts.append(end)
    return starts, header


def _next_frame(data: Data, position: int, like: bytes | None) -> int | None:
    """The offset of the next frame that another one follows, or the end of the file; of the same kind as `like`."""
    position = behind_tags(data, position)
    while (position := data.find(b"\xff", position)) >= 0 and position + 4 <= len(data):
        header = data[position : position + 4]
        if like is None or (header[1] & 0xFE, header[2] & 0x0C) == (like[1] & 0xFE, like[2] & 0x0C):
            lengths = _lengths(header[1] & 0xFE, header[2] & 0x0C)
            end = position + lengths[header[2]]
            follows = data[end : end + 3]
            if end > position and (len(follows) < 3 or follows[0] == 0xFF and follows[1] & 0xFE == header[1] & 0xFE and lengths[follows[2]]):
                return position
        position += 1
    return None


def behind_tags(data: Data, position: int) -> int:
    """Behind the ID3v2 tags that begin at a position."""
    while data[position : position + 3] == b"ID3" and position + 10 <= len(data):
        size = functools.reduce(lambda total, byte: total << 7 | byte & 0x7F, data[position + 6 : position + 10], 0)
        position += 10 + size + (10 if data[position + 5] & 0x10 else 0)  # the flag of a footer
    return position


@functools.cache
def _lengths(second_byte: int, rate_bits: int) -> list[int]:
    """The length of a frame by the third byte of its header; 0 for what no frame of this version, layer and sample rate has."""
    version, layer, rate_code = second_byte >> 3 & 3, second_byte >> 1 & 3, rate_bits >> 2
    lengths = [0] * 256
    if second_byte & 0xE0 != 0xE0 or version not in _SAMPLE_RATES or layer == 0 or rate_code == 3:
        return lengths
    rate = _SAMPLE_RATES[version][rate_code]
    for (code, kilobits), padding in itertools.product(enumerate(_KILOBITS[version == 3, layer], 1), (0, 1)):
        if layer == 3:
            length = (12000 * kilobits // rate + padding) * 4
        else:
            length = (72000 if layer == 1 and version != 3 else 144000) * kilobits // rate + padding
        for private in (0, 1):
            lengths[code << 4 | rate_bits | padding << 1 | private] = length
    return lengths


def _length(frame: bytes, header: bytes) -> tuple[int | None, tuple[int, int] | None]:
    """The number of frames that the first frame states, and the encoder's padding; None where it does not."""
    at = 4 + _side_information(header)
    if frame[at : at + 4] in (b"Xing", b"Info"):
        flags, fields = int.from_bytes(frame[at + 4 : at + 8]), at + 8
        num_frames = int.from_bytes(frame[fields : fields + 4]) if flags & 1 else 0
        encoder = fields + 4 * (flags & 1) + 2 * (flags & 2) + 25 * (flags & 4) + (flags & 8) // 2
        gaps = int.from_bytes(frame[encoder + 21 : encoder + 24])
        has_padding = num_frames and len(frame) >= encoder + 24
        return num_frames, (gaps >> 12, gaps & 0xFFF) if has_padding else None
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54]), None
    return None, None


def _side_information(header: bytes) -> int:
    """Bytes between the header of a frame of layer III and its data, which a length frame keeps free."""
    is_mono = header[3] >> 6 == 3
    return (17 if is_mono else 32) if header[1] >> 3 & 3 == 3 else 9 if is_mono else 17


def _silent_frame(header: bytes) -> bytes:
    """A frame of the same kind, the shortest that there is."""
    third = _LOWEST_RATE << 4 | header[2] & 0x0C
    return bytes([0xFF, header[1] | 1, third, header[3]]).ljust(_lengths(header[1] & 0xFE, header[2] & 0x0C)[third], b"\0")


def _silenced(frame: bytes) -> bytes:
    """A frame of layer III of which the decoder takes nothing but the bytes that later ones refer to; others stay as they are."""
    if frame[1] >> 1 & 3 != 1:
        return frame
    start = 4 if frame[1] & 1 else 6  # behind a checksum
    end = start + _side_information(frame)
    # The first 8 or 9 bits say how many bytes of earlier frames belong to this one.
    begin = frame[start : start + 1] + (bytes([frame[start + 1] & 0x80]) if frame[1] >> 3 & 3 == 3 else b"\0")
    return frame[:start] + begin + bytes(end - start - 2) + frame[end:]
