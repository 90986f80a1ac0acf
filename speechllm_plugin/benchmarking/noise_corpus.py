"""A prepared data folder of noise with the lengths of a corpus, for measuring speed and memory."""

from pathlib import Path

import numpy as np
import yaml

from speechllm_plugin.data import manifest
from speechllm_plugin.data.features import FRAMES_PER_SECOND, NUM_BINS
from speechllm_plugin.preparation.feature_archive import FeatureArchive

# MuST-C v1.0 en-de: 408 hours in 229,703 utterances of up to 30 s for training, about 3.9 subword tokens a second.
MEAN_SECONDS, DEVIATION_OF_LOG, SUBWORDS_PER_SECOND = 6.4, 0.75, 3.9
SHORTEST_FRAMES, LONGEST_FRAMES = 20, 3000
NUM_SPECIAL = 4  # types that fairseq's dictionary adds by itself
DEV_UTTERANCES = 100


def lengths_in_frames(rng: np.random.Generator, number: int, longest: int) -> np.ndarray:
    """(number,) log-normal, within what is trained on, with the mean of the corpus."""
    frames = rng.lognormal(0, DEVIATION_OF_LOG, number)
    return np.clip(frames / frames.mean() * MEAN_SECONDS * FRAMES_PER_SECOND, SHORTEST_FRAMES, longest).astype(int)


def write(
    out: Path,
    num_utterances: int,
    vocab_size: int,
    transcript_vocab_size: int,
    *,
    seconds: float | None = None,
    longest: int = LONGEST_FRAMES,
    recordings: int | None = None,
) -> None:
    """Splits `train` and `dev` with vocabularies and config.yaml, the same in every run.

    Args:
        seconds: of every utterance; None: the corpus' lengths.
        longest: frames that an utterance may have.
        recordings: from so many on, utterances share the features of earlier ones, as disks are small; None: each has its own.
    """
    out.mkdir(parents=True, exist_ok=True)
    vocabularies = {"target": vocab_size - NUM_SPECIAL, "transcript": transcript_vocab_size - NUM_SPECIAL}
    for name, size in vocabularies.items():
        (out / f"{name}.txt").write_text("".join(f"{name}{word} 1\n" for word in range(size)), encoding="utf-8")
    rng = np.random.default_rng(1)
    for split, number in (("train", num_utterances), ("dev", DEV_UTTERANCES)):
        own = min(number, recordings or number)
        frames = lengths_in_frames(rng, own, longest) if seconds is None else np.full(own, round(seconds * FRAMES_PER_SECOND))
        write_split(out, split, number, frames, vocabularies, rng)
    config = {"vocab_filename": "target.txt", "transcript_vocab_filename": "transcript.txt", "relative_audio_root": "."}
    (out / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


def write_split(out: Path, split: str, number: int, frames: np.ndarray, vocabularies: dict[str, int], rng: np.random.Generator) -> None:
    """So many utterances over recordings of these lengths, one after the other, and again from the first."""
    noise = rng.standard_normal((frames.max(), NUM_BINS)).astype(np.float32)
    with FeatureArchive(out / f"fbank80.{split}.zip") as archive:
        audio = [archive.add(f"{split}{recording}", noise[:length]) for recording, length in enumerate(frames)]
    utterances = []
    for row in range(number):
        length = int(frames[row % len(frames)])
        num_tokens = max(1, round(length / FRAMES_PER_SECOND * SUBWORDS_PER_SECOND))
        target, source = (" ".join(f"{name}{word}" for word in rng.integers(0, size, num_tokens)) for name, size in vocabularies.items())
        utterances.append(manifest.Utterance(f"{split}{row}", audio[row % len(audio)], length, target, "", source, "en", "de"))
    manifest.write(out / f"{split}.tsv", utterances)
