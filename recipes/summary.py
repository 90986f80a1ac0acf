"""Prints the table of finished experiments and where their files are:  python3 recipes/summary.py SPLIT OUT..."""

import json
import re
import statistics
import sys
from pathlib import Path

COUNTED_METRICS = {"wer": "WER", "wer_normalised": "WER norm.", "cer": "CER", "bleu": "BLEU", "chrf": "chrF", "ter": "TER"}
NOT_KNOWN = "-"  # not scored with this metric, or not logged
FILES = {
    "training log": "train.log",
    "checkpoints": "checkpoints",
    "averaged model": "average.pt",
    "hypotheses": "generate-{split}.txt",
    "scores": "score-{split}.json",
}


def last_match(path, pattern):
    """The groups of the last line of the file that matches."""
    matches = re.findall(pattern, path.read_text(encoding="utf-8"))
    if not matches:
        raise ValueError(f"{path}: no line matches {pattern!r}; run the stage that writes it again")
    return matches[-1]


def training_frames_per_second(path):
    """The median over the epochs of a training log in JSON lines; fairseq's own criterions do not count frames."""
    log = path.read_text(encoding="utf-8")
    speeds = re.findall(r'"train_frames_per_second": "([\d.]+)"', log)
    if not speeds and '"train_loss"' not in log:
        raise ValueError(f"{path}: no epoch is complete; train longer")
    return f"{statistics.median(map(float, speeds)):,.0f}" if speeds else NOT_KNOWN


def row_of(out, split):
    """One experiment's cells, by heading."""
    metrics = json.loads((out / f"score-{split}.json").read_text(encoding="utf-8"))["metrics"]
    parameters = last_match(out / "train.log", r"num\. shared model params: ([\d,]+)")
    sentences_per_second = last_match(out / f"generate-{split}.log", r"([\d.]+) sentences/s")
    return {
        "experiment": str(Path(*out.parts[-2:])),
        "parameters": parameters,
        **{heading: f"{metrics[name]['score']:.2f}" for name, heading in COUNTED_METRICS.items() if name in metrics},
        "training frames/s": training_frames_per_second(out / "train.log"),
        "decoding sentences/s": f"{float(sentences_per_second):.1f}",
    }


def format_table(rows):
    """Aligned lines; the headings are those of any row, metrics in the order of COUNTED_METRICS."""
    speeds = ["training frames/s", "decoding sentences/s"]
    metrics = [heading for heading in COUNTED_METRICS.values() if any(heading in row for row in rows)]
    headings = ["experiment", "parameters", *metrics, *speeds]
    cells = [headings, *([row.get(heading, NOT_KNOWN) for heading in headings] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))]) for line in cells)


def main(split, *folders):
    folders = [Path(folder) for folder in folders]
    print(f"\n{split}\n{format_table([row_of(out, split) for out in folders])}\n")
    for out in folders:
        print(out)
        for what, name in FILES.items():
            print(f"  {what:<15} {out / name.format(split=split)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
