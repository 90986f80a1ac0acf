"""What a sound file promises of its own length, so that a cut one is noticed and a right one is read whole.

libsndfile reads what is there, and says nothing of what is missing; of some lengths that a file leaves open it makes 0 or a guess. Each
container of the table is examined by one function: it raises ValueError for a file that is cut short, and returns the file with its length
filled in where libsndfile needs that; None where it reads the file as it is.
"""

from collections.abc import Callable

from speechllm_plugin.data.containers import chunks, flac_stream, ogg_pages
from speechllm_plugin.data.containers.patched_file import Data, PatchedFile

# How a file begins: who examines it. MPEG audio has a class of its own, MpegFrames.
CONTAINERS: dict[bytes, Callable[[Data], PatchedFile | None]] = {
    b"RIFF": chunks.riff,
    b"RIFX": chunks.riff,
    b"RF64": chunks.rf64,
    b"riff": chunks.w64,
    b"FORM": chunks.iff,
    b"caff": chunks.caf,
    b".snd": chunks.au,
    b"dns.": chunks.au,
    b"NIST": chunks.nist,
    b"fLaC": flac_stream.flac,
    b"OggS": ogg_pages.ogg,
}
EXAMINED_FORMATS = "WAV, FLAC, OGG, MP3, AIFF, AU, CAF, RF64, W64 or NIST SPHERE"
