"""A prepared data folder of noise with the lengths of a corpus, for measuring speed and memory:

python3 recipes/synthetic_data.py OUT [--utterances 4000] [--vocab-size 8000] [--transcript-vocab-size 5000]
"""

import argparse
from pathlib import Path

from speechllm_plugin.benchmarking import noise_corpus


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--utterances", type=int, default=4000)
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--transcript-vocab-size", type=int, default=5000)
    args = parser.parse_args()
    frames = noise_corpus.lengths_in_frames(args.utterances)
    noise_corpus.write(args.out, frames, args.vocab_size, args.transcript_vocab_size)


if __name__ == "__main__":
    main()
