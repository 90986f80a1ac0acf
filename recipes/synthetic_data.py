"""A prepared data folder of noise with the lengths of a corpus, for measuring speed and memory:

python3 recipes/synthetic_data.py OUT [--utterances 4000] [--vocab-size 8000] [--transcript-vocab-size 5000]
"""

import argparse
from pathlib import Path

import numpy as np
import yaml

from speechllm_plugin.data import manifest
from speechllm_plugin.data.features import NUM_BINS
from speechllm_plugin.preparation.feature_archive import FeatureArchive

# MuST-C v1.0 en-de: 408 hours in 229,703 utterances of up to 30 s for training, about 3.9 subword tokens a second.
MEAN_SECONDS, DEVIATION_OF_LOG, TOKENS_PER_SECOND = 6.4, 0.75, 3.9
NUM_SPECIAL = 4  # types that fairseq's dictionary adds by itself


def lengths_in_frames(rng, number):
    """(number,) log-normal, within what is trained on, with the mean of the corpus."""
    frames = rng.lognormal(0, DEVIATION_OF_LOG, number)
    return np.clip(frames / frames.mean() * MEAN_SECONDS * 100, 20, 3000).astype(int)


def write_split(out, split, number, vocabularies, rng):
    frames = lengths_in_frames(rng, number)
    noise = rng.standard_normal((frames.max(), NUM_BINS)).astype(np.float32)
    utterances = []
    with FeatureArchive(out / f"fbank80.{split}.zip") as archive:
        for row, length in enumerate(frames.tolist()):
            num_tokens = max(1, round(length / 100 * TOKENS_PER_SECOND))
            target, source = (" ".join(f"{name}{word}" for word in rng.integers(0, size, num_tokens)) for name, size in vocabularies.items())
            audio = archive.add(f"{split}{row}", noise[:length])
            utterances.append(manifest.Utterance(f"{split}{row}", audio, length, target, "", source, "en", "de"))
    manifest.write(out / f"{split}.tsv", utterances)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--utterances", type=int, default=4000)
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--transcript-vocab-size", type=int, default=5000)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    vocabularies = {"target": args.vocab_size - NUM_SPECIAL, "transcript": args.transcript_vocab_size - NUM_SPECIAL}
    for name, size in vocabularies.items():
        (args.out / f"{name}.txt").write_text("".join(f"{name}{word} 1\n" for word in range(size)), encoding="utf-8")
    rng = np.random.default_rng(1)
    write_split(args.out, "train", args.utterances, vocabularies, rng)
    write_split(args.out, "dev", 100, vocabularies, rng)
    config = {"vocab_filename": "target.txt", "transcript_vocab_filename": "transcript.txt", "relative_audio_root": "."}
    (args.out / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")


if __name__ == "__main__":
    main()
