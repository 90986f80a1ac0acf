"""Sound that is read is whole: of every container a cut file is an error, and one that leaves its length open is read to its end."""

import io
import itertools
import struct

import numpy as np
import pytest
import soundfile

from speechllm_plugin.data import audio
from speechllm_plugin.data.containers.incomplete import EmptySound
from speechllm_plugin.data.containers.mpeg_frames import frames_of
from speechllm_plugin.data.sound_file import opened

RATE, SECONDS = 16000, 1.5
# Container, codec, and whether libsndfile can say of a file of it where the sound ends.
CONTAINERS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "ALAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AIFF", "FLOAT"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
    ("NIST", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
]
ENDLESS = ["AVR", "IRCAM", "MAT4", "MAT5", "MPC2K", "PAF", "PVF", "VOC", "WVE"]
UNKNOWN = [0, 0xFFFFFFFF]


def speech(num_samples, seed=0):
    """Noise that swells and falls, so that frames of a variable bit rate differ."""
    noise = np.random.default_rng(seed).uniform(-0.4, 0.4, num_samples)
    return (noise * np.sin(np.arange(num_samples) / num_samples * 7) ** 2).astype(np.float32)


def encoded(container, codec=None, samples=None, rate=RATE, **options):
    content = io.BytesIO()
    soundfile.write(content, speech(round(SECONDS * rate)) if samples is None else samples, rate, format=container, subtype=codec, **options)
    return content.getvalue()


def read(content, *span):
    return audio.decode(content, "a.sound", *span)


@pytest.mark.parametrize("container, codec", CONTAINERS)
def test_a_whole_file_is_read_and_a_cut_one_is_an_error(tmp_path, container, codec):
    content = encoded(container, codec)
    path = tmp_path / "a.sound"
    path.write_bytes(content)
    whole = audio.read("a.sound", tmp_path)
    assert abs(len(whole) - SECONDS * RATE) <= 1200  # blocks of codecs
    np.testing.assert_array_equal(read(content), whole)
    places = [len(content) // 2, len(content) - 1, len(content) - 40, 9 * len(content) // 10, len(content) // 10, 60, 30, 13, 5, 1]
    for place in places:
        path.write_bytes(content[:place])
        for cut in (lambda: audio.read("a.sound", tmp_path), lambda: read(content[:place])):
            with pytest.raises(ValueError, match=r"^a.sound: .*(cut short|not readable as audio|no sound).*; ") as error:
                cut()
            assert "\n" not in str(error.value), place
    path.write_bytes(b"")
    with pytest.raises(EmptySound, match="a.sound: the file is empty"):
        audio.read("a.sound", tmp_path)


@pytest.mark.parametrize("container", ENDLESS)
def test_a_container_that_does_not_say_where_it_ends_is_refused(container):
    with pytest.raises(ValueError, match=f"a.sound: {container} files do not say how long they are; convert it to WAV, FLAC"):
        read(encoded(container))


def test_a_codec_of_which_libsndfile_reads_more_than_there_is_is_refused():
    for container in ("WAV", "W64", "AIFF"):
        with pytest.raises(ValueError, match="a.sound: GSM610 sound cannot be read in parts; convert it to WAV, FLAC"):
            read(encoded(container, "GSM610"))


def test_other_files_of_iff_are_refused():
    with pytest.raises(ValueError, match="a.sound: an IFF file must be AIFF or AIFC; convert it to WAV"):
        read(encoded("SVX"))


def with_field(content, name, behind, size):
    """The file with other bytes somewhere behind a name."""
    place = content.index(name) + len(name) + behind
    return content[:place] + size + content[place + len(size) :]


def streamed():
    """Name -> a file as a program writes it that cannot go back to fill in the length, and the same with its length."""
    wav, aiff, au = encoded("WAV"), encoded("AIFF"), encoded("AU")
    for size, riff_size in itertools.product([*UNKNOWN, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0x7FFFFF00], [0, 36, 0xFFFFFFFF, 0x7FFFF024]):
        changed = with_field(with_field(wav, b"RIFF", 0, struct.pack("<I", riff_size)), b"data", 0, struct.pack("<I", size))
        yield f"WAV {size:x} {riff_size:x}", changed, wav
    listed = wav[:36] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + wav[36:]
    yield "WAV with another chunk before", with_field(listed, b"data", 0, bytes(4)), wav
    for size in (0, 0x7F000000, 0xFFFFFFFF):
        yield f"AIFF {size:x}", with_field(aiff, b"SSND", 0, struct.pack(">I", size)), aiff
    for size in UNKNOWN:
        yield f"AU {size:x}", with_field(au, b".snd", 4, struct.pack(">I", size)), au
    caf, w64, rf64 = encoded("CAF"), encoded("W64"), encoded("RF64")
    for size in (0, 2**64 - 1):
        yield f"CAF {size:x}", with_field(caf, b"data", 0, struct.pack(">Q", size)), caf
        yield f"W64 {size:x}", with_field(w64, b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 0, struct.pack("<Q", size)), w64
        yield f"RF64 {size:x}", with_field(rf64, b"ds64", 12, struct.pack("<Q", size)), rf64
    for codec, stereo in itertools.product(("PCM_16", "PCM_24"), (False, True)):
        samples = np.stack([speech(20001), speech(20001, 1)], axis=1) if stereo else speech(20001)
        flac = encoded("FLAC", codec, samples)
        total = struct.pack(">Q", int.from_bytes(flac[18:26]) >> 36 << 36)
        yield f"FLAC {codec} {stereo}", flac[:18] + total + bytes(16) + flac[42:], flac


STREAMED = {name: (stream, whole) for name, stream, whole in streamed()}


@pytest.mark.parametrize("name", STREAMED)
def test_a_length_left_open_is_read_to_the_end(tmp_path, name):
    stream, whole = STREAMED[name]
    assert stream != whole
    expected = read(whole)
    (tmp_path / "a.sound").write_bytes(stream)
    np.testing.assert_array_equal(audio.read("a.sound", tmp_path), expected)
    np.testing.assert_array_equal(read(stream), expected)
    np.testing.assert_array_equal(audio.read("a.sound:2345:6789", tmp_path), expected[2345 : 2345 + 6789])
    assert audio.length_and_rate("a.sound", tmp_path) == (len(expected), RATE)
    if name.startswith("FLAC"):
        with pytest.raises(ValueError, match="cut short: it does not end with a whole frame of FLAC"):
            read(stream[: len(stream) // 2])


@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64", "FLAC"])
def test_a_file_without_samples_is_empty(container):
    for behind in (b"", b"LIST\x04\0\0\0abcd" if container == "WAV" else b""):
        content = encoded(container, samples=np.zeros(0))
        if behind:
            content = with_field(content, b"RIFF", 0, struct.pack("<I", len(content) - 8 + len(behind))) + behind
        with pytest.raises(EmptySound, match="a.sound: the (waveform|file) is empty"):
            read(content)


def test_bytes_behind_the_sound_are_no_sound():
    for container, codec in CONTAINERS:
        if container != "FLAC":
            content = encoded(container, codec)
            np.testing.assert_array_equal(read(content + b"TAG" + bytes(125)), read(content), err_msg=container)


def test_streams_of_ogg_one_after_another_are_an_error():
    for codec in ("VORBIS", "OPUS"):
        with pytest.raises(ValueError, match="several streams of Ogg one after another; write them as one"):
            read(encoded("OGG", codec) * 2)


# The second has a footer.
TAGS = [b"ID3\x03\0\0\0\0\0\x05" + bytes(5), b"ID3\x04\0\x10\0\0\0\x05" + bytes(5) + b"3DI\x04\0\x10\0\0\0\x05"]


@pytest.mark.parametrize("container, codec", [("OGG", "VORBIS"), ("OGG", "OPUS"), ("FLAC", "PCM_16")])
def test_a_flipped_bit_is_noticed_where_there_are_checksums(container, codec):
    content = encoded(container, codec)
    for place in np.random.default_rng(0).integers(4 if container == "OGG" else 50, len(content), 40):
        flipped = content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
        with pytest.raises(ValueError, match="a.sound: .*(damaged|cut short|not readable as audio)"):
            read(flipped)


def test_the_size_of_the_file_in_place_of_that_of_the_sound_is_no_cut():
    content = encoded("WAV")
    for size in (len(content), len(content) - 8):
        np.testing.assert_array_equal(read(with_field(content, b"data", 0, struct.pack("<I", size))), read(content))


@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_before_the_sound_is_no_sound(tag):
    for container in ("MP3", "FLAC", "WAV"):
        content = encoded(container)
        np.testing.assert_array_equal(read(tag + content), read(content))
    with pytest.raises(EmptySound, match=r"the file has no sound \(no MPEG frame\)"):
        read(tag)
    with pytest.raises(ValueError, match="not readable as audio"):
        read(tag + b"no sound" * 100)


def without_length_frame(content):
    """The mp3 without its first frame, which states the length; others go on."""
    return content[content.index(content[:2], 2) :]


# Rates of MPEG 2.5, 2 and 1; the encoder gives low compression levels a constant bit rate of many bytes.
MP3S = [
    (rate, channels, mode, level)
    for rate, level in ((8000, 0.9), (16000, 0.3), (24000, 0.9), (44100, 0.3), (48000, 0.6))
    for channels in (1, 2)
    for mode in ("CONSTANT", "VARIABLE")
]


@pytest.mark.parametrize("rate, channels, mode, level", MP3S)
def test_parts_of_an_mp3_are_parts_of_the_whole_bit_by_bit(tmp_path, rate, channels, mode, level, capfd):
    samples = np.stack([speech(5 * rate, seed) for seed in range(channels)], axis=1)
    content = encoded("MP3", None, samples, rate, bitrate_mode=mode, compression_level=level)
    (tmp_path / "a.mp3").write_bytes(content)
    with soundfile.SoundFile(tmp_path / "a.mp3") as reference:
        expected = reference.read(dtype="float32", always_2d=True)
    expected = expected.mean(axis=1) if channels == 2 else expected[:, 0]
    is_quiet = not capfd.readouterr().err  # the decoder says there what a frame lacks
    with opened(str(tmp_path / "a.mp3")) as sound:
        assert (sound.num_samples, sound.rate) == (len(expected), rate)
        for start, num_samples in (
            (0, len(expected)),
            (0, 1000),
            (3 * rate, rate),
            (len(expected) - 10, 10),
            (2 * rate + 123, 1),
            (4 * rate, 5000),
        ):
            np.testing.assert_array_equal(sound.read(start, num_samples), expected[start : start + num_samples])
    assert not (is_quiet and capfd.readouterr().err)


@pytest.mark.parametrize("rate, channels", [(16000, 1), (44100, 1), (44100, 2)])
def test_an_mp3_of_variable_bit_rate_that_does_not_state_its_length_is_read_whole(tmp_path, rate, channels):
    # Quiet first: from a short first frame, libsndfile guesses too many; from a long one, too few.
    for quiet_first in (True, False):
        level = np.linspace(0, 1, 4 * rate)[:: 1 if quiet_first else -1] ** 4
        content = encoded("MP3", None, np.stack([speech(4 * rate) * level] * channels, axis=1), rate, bitrate_mode="VARIABLE")
        stream = without_length_frame(content)
        (tmp_path / "a.mp3").write_bytes(stream)
        with opened(stream) as sound, opened(content) as stated:
            padding = sound.num_samples - stated.num_samples
            assert 1105 <= padding < 1105 + 3 * 1152
            np.testing.assert_array_equal(sound.read(1105, stated.num_samples), stated.read(0, stated.num_samples))
        np.testing.assert_array_equal(audio.read("a.mp3", tmp_path), read(stream))
        with pytest.raises(ValueError, match=r"cut short: it has \d+ MPEG frames and a part of the next"):
            read(stream[: frames_of(stream).starts[50] + 10])  # after a whole frame, nothing tells


def test_mp3s_one_after_another_are_read_whole():
    one, other = encoded("MP3"), encoded("MP3", samples=speech(30000, 1))
    with opened(one + other) as sound:
        samples = sound.read(0, sound.num_samples)
        assert len(samples) == sound.num_samples
    for content in (one, other):
        part = read(content)[2000:-2000]
        place = np.correlate(samples, part).argmax()
        np.testing.assert_allclose(samples[place : place + len(part)], part, atol=1e-6)


def test_what_lies_between_the_frames_of_an_mp3_is_skipped():
    content = without_length_frame(encoded("MP3"))
    whole, place = read(content), frames_of(content).starts[20]
    for junk in (b"no frame", b"TAG" + bytes(125) + TAGS[0]):
        samples = read(content[:place] + junk + content[place:])
        np.testing.assert_array_equal(samples[: 18 * 576], whole[: 18 * 576])
        np.testing.assert_allclose(samples[36 * 576 :], whole[36 * 576 :], atol=1e-6)  # until then, frames lack what came before


def test_sample_rates_that_would_fill_the_memory_are_refused():
    for rate in (1, 999, 2**31 - 1):
        content = with_field(encoded("WAV"), b"fmt ", 8, struct.pack("<I", rate))
        with pytest.raises(ValueError, match="a.sound: (the sample rate must be 1000 to 1000000 Hz, but is|not readable)"):
            read(content)


def test_a_header_that_promises_too_much_costs_no_memory():
    flac = encoded("FLAC")
    with pytest.raises(ValueError, match="a.sound: "):
        read(flac[:21] + bytes([flac[21] | 0x0F]) + b"\xff" * 4 + flac[26:])
