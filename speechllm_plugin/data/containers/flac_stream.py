"""FLAC without a number of samples, as a program writes it that cannot go back: the last frame knows it."""

from speechllm_plugin.data.containers.incomplete import EmptySound, cut_short
from speechllm_plugin.data.containers.patched_file import Data, PatchedFile

# Of a frame's header (RFC 9639, section 9.1.1): samples by code; codes 6 and 7 have them in one or two bytes behind the number.
_BLOCK_SIZES = {1: 192, **{code: 144 << code for code in range(2, 6)}, **{code: 1 << code for code in range(8, 16)}}
_SAMPLE_RATE_BYTES = {12: 1, 13: 2, 14: 2}
_TOTAL = slice(21, 26)  # the lower 36 bits are the number of samples
_LONGEST_FRAME = 1 << 20  # bytes; more than 8 channels of 16 KiSamples at 32 bits need


def flac(data: Data) -> PatchedFile | None:
    """A file that states its samples is read as it is: the decoder notices what it lacks."""
    total = data[_TOTAL]
    if len(total) < 5 or int.from_bytes(total) & (1 << 36) - 1:
        return None
    if _end_of_metadata(data) == len(data):
        raise EmptySound("the waveform is empty (0 samples); remove the row or replace the file")
    num_samples = _samples_to_the_end(data)
    return PatchedFile(data[: _TOTAL.start] + (int.from_bytes(total) | num_samples).to_bytes(5), data, _TOTAL.stop)


def _end_of_metadata(data: Data) -> int:
    """Where the frames begin, behind blocks of a flag for the last, 7 bits of type, 24 bits of length; the end of a file cut before."""
    position, is_last = 4, False
    while not is_last and position + 4 <= len(data):
        is_last = data[position] >= 0x80
        position += 4 + int.from_bytes(data[position + 1 : position + 4])
    return position if is_last else len(data) + 1


def _samples_to_the_end(data: Data) -> int:
    """The samples up to the end of the frame that ends where the file ends; ValueError if none does."""
    tail = data[max(42, len(data) - _LONGEST_FRAME) :]
    position = len(tail)
    while (position := tail.rfind(b"\xff", 0, position)) >= 0:
        if tail[position + 1 : position + 2] in (b"\xf8", b"\xf9"):
            end = _samples_to_end_of_frame(tail, position, int.from_bytes(data[8:10]))
            if end is not None:
                return end
    raise cut_short("it does not end with a whole frame of FLAC, and states no number of samples")


def _samples_to_end_of_frame(tail: bytes, position: int, block_size: int) -> int | None:
    """None where no frame reaches from the position to the end."""
    header = tail[position : position + 16]
    if len(header) < 8:
        return None
    size_code, rate_code = header[2] >> 4, header[2] & 15
    number_bytes = max(1, 8 - (header[4] ^ 0xFF).bit_length())  # coded as UTF-8: as many as the ones that it begins with
    at = 4 + number_bytes
    number = header[4] if number_bytes == 1 else header[4] & (0x7F >> number_bytes)
    for byte in header[5:at]:
        number = number << 6 | byte & 0x3F
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    num_samples = int.from_bytes(header[at : at + size_bytes]) + 1 if size_bytes else _BLOCK_SIZES.get(size_code)
    at += size_bytes + _SAMPLE_RATE_BYTES.get(rate_code, 0)
    if num_samples is None or at >= len(header) or _crc(header[: at + 1], 8, 0x07) or _crc(tail[position:], 16, 0x8005):
        return None
    has_variable_blocks = header[1] & 1
    return (number if has_variable_blocks else number * block_size) + num_samples


def _crc(content: bytes, num_bits: int, polynomial: int) -> int:
    """0 for content that ends with its checksum."""
    top, mask, crc = 1 << num_bits, (1 << num_bits) - 1, 0
    for byte in content:
        crc ^= byte << num_bits - 8
        for _ in range(8):
            crc <<= 1
            if crc & top:
                crc ^= top | polynomial
    return crc & mask
