"""Speak some dozen sentences of the demo's grammar into a corpus for `speechllm prepare tsv`.

    make_corpus.py OUT    OUT/{train,dev,test}.tsv, OUT/clips/* (a file per utterance, in four formats), OUT/talks/*.flac (many utterances in each)

Needs examples/demo on Python's path.
"""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import soundfile
from synthesise import SAMPLE_RATE, record, speak_all, utterances

SPLIT_SIZES = {"train": 48, "dev": 8, "test": 8}
FORMATS = {  # extension: what soundfile calls it
    "wav": {"format": "WAV", "subtype": "PCM_16"},
    "flac": {"format": "FLAC"},
    "mp3": {"format": "MP3"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}


def write_clips(root, split, waveforms):
    """One file per utterance; returns their columns of the TSV."""
    rows = []
    for number, waveform in enumerate(waveforms):
        extension, options = list(FORMATS.items())[number % len(FORMATS)]
        path = f"clips/{split}_{number}.{extension}"
        soundfile.write(root / path, waveform, SAMPLE_RATE, **options)
        rows.append({"audio": path})
    return rows


def write_talk(root, split, waveforms):
    """All utterances in one file, with half a second between them."""
    path, pause, rows, pieces, clock = f"talks/{split}.flac", np.zeros(SAMPLE_RATE // 2), [], [], 0
    for waveform in waveforms:
        clock += len(pause)
        rows.append({"audio": path, "offset": f"{clock / SAMPLE_RATE:.4f}", "duration": f"{len(waveform) / SAMPLE_RATE:.4f}"})
        pieces += [pause, waveform]
        clock += len(waveform)
    soundfile.write(root / path, np.concatenate(pieces), SAMPLE_RATE)
    return rows


def main(out):
    splits = utterances(seed=1, split_sizes=SPLIT_SIZES)
    speech = iter(speak_all([utterance for members in splits.values() for utterance in members]))
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for folder in ("clips", "talks"):
        (partial / folder).mkdir(parents=True)
    for split, members in splits.items():
        waveforms = [record(next(speech), utterance.seed) for utterance in members]
        rows = (write_clips if split == "train" else write_talk)(partial, split, waveforms)
        for row, utterance in zip(rows, members):
            row |= {"src_text": utterance.english, "tgt_text": utterance.german, "speaker": utterance.speaker, "accent": utterance.accent}
        with open(partial / f"{split}.tsv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    partial.rename(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
