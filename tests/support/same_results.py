"""Whether two folders of finished experiments hold the same data, weights, hypotheses and scores, bit by bit.

    python3 tests/support/same_results.py BEFORE AFTER

prints what was compared, or every file that differs, with status 1. Logs, speeds and paths may differ.
"""

import json
import re
import sys
from pathlib import Path

import torch


def weights(path):
    """Name -> type, shape and bytes of a tensor of the model; NaN equals itself."""
    state = torch.load(path, map_location="cpu", weights_only=True)["model"]
    return {name: (tensor.dtype, tensor.shape, tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()) for name, tensor in state.items()}


def hypotheses(path):
    """The lines of references, hypotheses and their scores, in the order of the file."""
    return re.findall(r"^[A-Z]-\d+\t.*$", path.read_text(encoding="utf-8"), re.MULTILINE)


def scores(path):
    values = json.loads(path.read_text(encoding="utf-8"))
    return {name: value for name, value in values.items() if name not in ("hypotheses", "manifest")}


def table_rows(path):
    """The rows of a manifest, which name no absolute path."""
    return path.read_text(encoding="utf-8").splitlines()


# kind -> patterns of its files in a folder of experiments, what to compare of one
KINDS = {
    "manifests": (["data/*.tsv"], table_rows),
    "vocabularies and features": (["data/*.txt", "data/*.model", "data/*.zip"], Path.read_bytes),
    "checkpoints": (["*.pt"], weights),
    "outputs": (["generate-*.txt"], hypotheses),
    "scores": (["score-*.json"], scores),
}


def files_in(folder, patterns):
    return {path.relative_to(folder) for pattern in patterns for path in folder.glob(f"**/{pattern}")}


def compare(before, after):
    """Lines that say what differs, and the number of files of each kind."""
    differences, numbers = [], {}
    for kind, (patterns, read) in KINDS.items():
        first, second = files_in(before, patterns), files_in(after, patterns)
        differences += [f"{path}: only in {before if path in first else after}" for path in sorted(first ^ second)]
        both = sorted(first & second)
        differences += [f"{path}: other {kind}" for path in both if read(before / path) != read(after / path)]
        numbers[kind] = len(both)
    return differences, numbers


def main(before, after):
    differences, numbers = compare(before, after)
    missing = [kind for kind, number in numbers.items() if not number]
    if missing:
        differences.append(f"nothing to compare: no {', no '.join(missing)} in both folders")
    if differences:
        sys.exit("\n".join(differences))
    print("the same, bit by bit:", ", ".join(f"{number} {kind}" for kind, number in numbers.items()))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
