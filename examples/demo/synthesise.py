"""Speak the sentences of the grammar into a folder that is laid out as MuST-C v1.0 (English to German).

    synthesise.py OUT    OUT/en-de/data/{train,dev,tst-COMMON,dev-names}/{wav/*.wav,txt/SPLIT.{yaml,en,de}}, OUT/speakers.tsv

A speaker is an accent and a voice of espeak-ng; each speaker's utterances of a split stand in one long WAV, as in a talk.
The same samples on every run. No English sentence stands in two splits. tst-COMMON has names and an accent that the others do not have,
dev-names has other names that training lacks.
"""

import argparse
import ctypes
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import espeakng_loader
import numpy as np
import soundfile
import soxr
from sentences import MORE_UNSEEN_NAMES, NAMES, UNSEEN_NAMES, different_sentences
from tqdm import tqdm

SPLIT_SIZES = {"train": 850, "dev": 50, "tst-COMMON": 150, "dev-names": 60}
TEST_SPLIT = "tst-COMMON"
# Names that training lacks, and in how many of ten sentences one stands.
UNSEEN_NAMES_OF_SPLITS = {TEST_SPLIT: (UNSEEN_NAMES, 3), "dev-names": (MORE_UNSEEN_NAMES, 5)}
ACCENTS = ("en-US", "en-GB-x-rp", "en-GB-scotland", "en-029")
UNSEEN_ACCENT, FIFTH_TEN = "en-x-german", 4  # in the test split only: ten sentences of fifty, so that they have their share of the names
VOICE_FOLDER = Path(__file__).resolve().parent / "voices"  # of that accent; espeak-ng has the others
GENDERS = {"m1": "male", "m3": "male", "f2": "female", "f4": "female"}
VOICES = tuple(GENDERS)
WORDS_PER_MINUTE = range(230, 281)
PITCHES = range(40, 61)
SAMPLE_RATE = 16000
ESPEAK_SAMPLE_RATE = 22050
# Relative to a full-scale sample: without noise the pauses are digital silence, whose logarithm would dominate the normalised features.
NOISE_LEVEL = 1e-3
SECONDS_AROUND_SPEECH = 0.08
PAUSE_SECONDS = 0.3

# Constants of espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS, DONT_EXIT_ON_ERROR = 2, 0x8000
RATE, PITCH = 1, 3
POSITION_CHARACTER, CHARS_UTF8 = 1, 1
SPEECH_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Utterance(NamedTuple):
    english: str
    german: str
    accent: str
    voice: str
    words_per_minute: int
    pitch: int
    seed: int

    @property
    def speaker(self) -> str:
        return speaker_of(self.accent, self.voice)


def speaker_of(accent: str, voice: str) -> str:
    return f"{accent}_{voice}"


FORK = multiprocessing.get_context("fork")
ESPEAK = ctypes.CDLL(espeakng_loader.get_library_path())
SPOKEN_BLOCKS: list[bytes] = []


@SPEECH_CALLBACK
def receive(samples, num_samples: int, _events) -> int:
    if samples and num_samples > 0:
        SPOKEN_BLOCKS.append(ctypes.string_at(samples, num_samples * ctypes.sizeof(ctypes.c_short)))
    return 0


def start_espeak(data_folder: Path) -> None:
    sample_rate = ESPEAK.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, os.fsencode(data_folder), DONT_EXIT_ON_ERROR)
    if sample_rate != ESPEAK_SAMPLE_RATE:
        raise ValueError(f"espeak-ng did not start with the voices of {espeakng_loader.get_data_path()}: install espeakng-loader again")
    ESPEAK.espeak_SetSynthCallback(receive)


def speak(utterance: Utterance) -> np.ndarray:
    """Samples (int16, 22050 Hz) of the English text; once per process, as what espeak-ng says depends on all that it said before."""
    voice = f"gmw/{utterance.accent}+{utterance.voice}"
    if ESPEAK.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice}")
    ESPEAK.espeak_ng_SetRandSeed(ctypes.c_long(utterance.seed))
    ESPEAK.espeak_SetParameter(RATE, utterance.words_per_minute, 0)
    ESPEAK.espeak_SetParameter(PITCH, utterance.pitch, 0)
    text = utterance.english.encode()
    ESPEAK.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None)
    ESPEAK.espeak_Synchronize()
    if not SPOKEN_BLOCKS:
        raise ValueError(f"espeak-ng said nothing for {utterance.english!r} with voice {voice}")
    return np.frombuffer(b"".join(SPOKEN_BLOCKS), np.int16)


def link_voices(data_folder: Path) -> None:
    """Make a data folder of espeak-ng that has the voices of this demo, too."""
    installed = Path(espeakng_loader.get_data_path())
    (data_folder / "voices").mkdir(parents=True)
    for path in (*installed.iterdir(), *(installed / "voices").iterdir()):
        if path != installed / "voices":
            (data_folder / path.relative_to(installed)).symlink_to(path)
    (data_folder / "voices/gmw").symlink_to(VOICE_FOLDER)


def speak_all(everything: list[Utterance]) -> list[np.ndarray]:
    """speak() of each utterance, several at a time."""
    with tempfile.TemporaryDirectory() as temporary:
        # espeak-ng takes no path of 160 characters or more, which a virtual environment may well have.
        data_folder = Path(temporary) / "espeak-ng-data"
        link_voices(data_folder)
        start_espeak(data_folder)
        with ProcessPoolExecutor(mp_context=FORK) as executor:
            spoken = executor.map(speak_apart, everything)  # starts all processes, before a thread writes the progress
            return list(tqdm(spoken, "speaking", len(everything), unit=" utterances"))


def speak_apart(utterance: Utterance) -> np.ndarray:
    """speak() in a new process, forked from one that has a single thread: what other threads lock would stay locked in the new one for ever."""
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=send_speech, args=(utterance, sender))
    process.start()
    sender.close()
    try:
        spoken = receiver.recv()
    except EOFError:
        process.join()
        spoken = ValueError(f"espeak-ng ended with status {process.exitcode} at {utterance.english!r}: install espeakng-loader again")
    process.join()
    if isinstance(spoken, ValueError):
        raise spoken
    return spoken


def send_speech(utterance: Utterance, sender: Connection) -> None:
    """Send what speak() returns, or its ValueError."""
    try:
        spoken: np.ndarray | ValueError = speak(utterance)
    except ValueError as error:
        spoken = error
    sender.send(spoken)


def record(speech: np.ndarray, seed: int) -> np.ndarray:
    """Samples (float32, in [-1, 1], 16 kHz) of the speech in a slightly noisy room."""
    speech = soxr.resample(speech.astype(np.float32) / 32768, ESPEAK_SAMPLE_RATE, SAMPLE_RATE)
    waveform = np.pad(speech, round(SECONDS_AROUND_SPEECH * SAMPLE_RATE))
    return waveform + np.random.default_rng(seed).normal(0, NOISE_LEVEL, len(waveform)).astype(np.float32)


def utterances(seed: int, split_sizes: dict[str, int], seen_names: Sequence[str] = NAMES) -> dict[str, list[Utterance]]:
    """Who says what in each split; only in TEST_SPLIT is there the unseen accent."""
    rng, unseen_names = random.Random(seed), []
    for split, size in split_sizes.items():
        names, names_in_ten = UNSEEN_NAMES_OF_SPLITS.get(split, ((), 0))
        unseen_names += [names if number % 10 < names_in_ten else () for number in range(size)]
    sentences = iter(different_sentences(unseen_names, seed, seen_names))
    return {
        split: [
            Utterance(
                *next(sentences),
                UNSEEN_ACCENT if split == TEST_SPLIT and number // 10 % 5 == FIFTH_TEN else rng.choice(ACCENTS),
                rng.choice(VOICES),
                rng.choice(WORDS_PER_MINUTE),
                rng.choice(PITCHES),
                rng.getrandbits(31),
            )
            for number in range(size)
        ]
        for split, size in split_sizes.items()
    }


def write_split(folder: Path, split: str, spoken: list[tuple[Utterance, np.ndarray]]) -> None:
    """One WAV per speaker, and the segments (offset, duration) with their texts in the order of the WAVs."""
    (folder / "wav").mkdir(parents=True)
    (folder / "txt").mkdir()
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
    segments, english, german = [], [], []
    for speaker in sorted({utterance.speaker for utterance, _ in spoken}):
        talk, num_samples = [], 0
        for utterance, waveform in spoken:
            if utterance.speaker != speaker:
                continue
            offset = (num_samples + len(pause)) / SAMPLE_RATE
            segments.append(
                f"- {{duration: {len(waveform) / SAMPLE_RATE:.6f}, offset: {offset:.6f}, rW: {len(utterance.english.split())}, "
                f"speaker_id: spk.{speaker}, uW: 0, wav: {speaker}.wav}}"
            )
            english.append(utterance.english)
            german.append(utterance.german)
            talk += [pause, waveform]
            num_samples += len(pause) + len(waveform)
        soundfile.write(folder / "wav" / f"{speaker}.wav", np.concatenate(talk), SAMPLE_RATE, subtype="PCM_16")
    for suffix, lines in (("yaml", segments), ("en", english), ("de", german)):
        (folder / "txt" / f"{split}.{suffix}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_speakers(path: Path) -> None:
    rows = [(f"spk.{speaker_of(accent, voice)}", accent, gender) for accent in (*ACCENTS, UNSEEN_ACCENT) for voice, gender in GENDERS.items()]
    path.write_text("".join("\t".join(row) + "\n" for row in [("speaker", "accent", "gender"), *rows]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder that is written; it must not exist yet")
    parser.add_argument("--seed", type=int, default=1, help="of sentences, speakers and noise")
    parser.add_argument(
        "--names", type=Path, metavar="FILE", help="speak of the names in its lines, as in names.txt, instead of the five of training"
    )
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} exists already: delete it or name another folder")

    names = NAMES if args.names is None else tuple(args.names.read_text(encoding="utf-8").split())
    splits = utterances(args.seed, SPLIT_SIZES, names)
    partial = args.out.with_name(f"{args.out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    speech = iter(speak_all([utterance for members in splits.values() for utterance in members]))
    for split, members in splits.items():
        write_split(partial / "en-de" / "data" / split, split, [(utterance, record(next(speech), utterance.seed)) for utterance in members])
    write_speakers(partial / "speakers.tsv")
    partial.rename(args.out)


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"synthesise.py: error: {error}")
