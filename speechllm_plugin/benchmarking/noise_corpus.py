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
CORPUS_UTTERANCES = 229_703
NUM_SPECIAL = 4  # types that fairseq's dictionary adds by itself
DEV_UTTERANCES = 100


def lengths_in_frames(number: int, longest: int = LONGEST_FRAMES) -> np.ndarray:
    """(number,) log-normal, within what is trained on, with the mean of the corpus; the same in every run."""
    frames = np.random.default_rng(1).lognormal(0, DEVIATION_OF_LOG, number)
    return np.clip(frames / frames.mean() * MEAN_SECONDS * FRAMES_PER_SECOND, SHORTEST_FRAMES, longest).astype(int)


def extreme_lengths(num_frames: int, longest: int = LONGEST_FRAMES) -> np.ndarray:
    """The longest utterances of the whole corpus, the shortest, and some others: so many frames of each."""
    lengths = lengths_in_frames(CORPUS_UTTERANCES, longest)
    ordered = np.sort(lengths)
    orders = (lengths, ordered, ordered[::-1])
    return np.concatenate([order[: 1 + np.searchsorted(order.cumsum(), num_frames)] for order in orders])


def write(
    out: Path,
    frames: np.ndarray,
    vocab_size: int,
    transcript_vocab_size: int,
    *,
    num_utterances: int | None = None,
) -> None:
    """Splits `train` and `dev` with vocabularies and config.yaml, the same in every run.

    Args:
        frames: of each recording for training.
        num_utterances: for training; beyond the recordings, they share these, as disks are small. None: as many as recordings.
    """
    out.mkdir(parents=True, exist_ok=True)
    vocabularies = {"target": vocab_size - NUM_SPECIAL, "transcript": transcript_vocab_size - NUM_SPECIAL}
    for name, size in vocabularies.items():
        (out / f"{name}.txt").write_text("".join(f"{name}{word} 1\n" for word in range(size)), encoding="utf-8")
    rng = np.random.default_rng(1)
    write_split(out, "train", num_utterances or len(frames), frames, vocabularies, rng)
    write_split(out, "dev", DEV_UTTERANCES, frames[:DEV_UTTERANCES], vocabularies, rng)
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
