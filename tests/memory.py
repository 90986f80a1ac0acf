"""Memory and open files of a training over thousands of updates, of the main process and its workers, as a table.

    python3 tests/memory.py [--updates N] [--workers N] [--folder DIR] [FAIRSEQ_TRAIN_ARGUMENT...]

trains a tiny model on a corpus of noise, with a validation and a checkpoint after every epoch, and looks into /proc. Status 1 if the memory of
the main process grows by more than a limit per 1,000 updates after the first quarter, or if there are more workers, or more open files in any
process, in the last quarter than in the second one (in the median: when an epoch begins, there are more for a moment).
"""

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from commands import MODELS, OURS, TRAINING, clean_environment, speechllm, succeeded
from mustc_corpus import Corpus

MIB = 2**20
ROWS = 12
GROWTH_MIB = 5  # per 1,000 updates: half of what a leak of 10 kB an update, say a loss with its history, takes
SECONDS_BETWEEN_SAMPLES = 0.25
UPDATE = re.compile(rb'"num_updates": "(\d+)"')


def prepared(folder):
    """A data folder of 600 utterances: about 60 batches an epoch."""
    corpus, rng = Corpus(folder / "mustc"), random.Random(0)
    for talk, (split, size) in enumerate([("train", 600), ("dev", 20), ("tst-COMMON", 4)]):
        corpus.add_talk(split, talk, [round(rng.uniform(0.3, 1.2), 2) for _ in range(size)])
    corpus.write_texts()
    options = ["--source-lang", "en", "--target-lang", "de", "--task", "st", "--vocab-size", 26, "--transcript-vocab-size", 26]
    succeeded(speechllm("prepare", "mustc", "--root", folder / "mustc", *options, "--out", folder / "data", cwd=folder))
    return folder / "data"


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def resident_mib(pid):
    """(resident, of that not backed by a file) MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident, anonymous = (int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024 for name in ("VmRSS", "RssAnon"))
    return resident, anonymous


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def sample(pid, log):
    """Updates so far, then (MiB, anonymous MiB, open files) of the main process and the largest of its workers; None between two states."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - 20_000))
            found = UPDATE.findall(file.read())
        workers = [(*resident_mib(child), open_files(child)) for child in children(pid)]
        return (int(found[-1]) if found else 0), (*resident_mib(pid), open_files(pid)), max(workers, default=None), len(workers)
    except (FileNotFoundError, ProcessLookupError, TypeError):  # a process ended meanwhile
        return None


def measure(data, folder, updates, workers, more):
    log = folder / "train.log"
    settings = [*TRAINING, "--num-workers", workers, "--log-interval", 10, "--no-epoch-checkpoints", "--max-update", updates]
    command = [
        Path(sys.executable).with_name("fairseq-train"),
        data,
        *OURS,
        *MODELS["xattn_transformer"],
        *settings,
        "--save-dir",
        folder / "checkpoints",
    ]
    with open(log, "wb") as output:
        process = subprocess.Popen([*map(str, command), "--cpu", *more], stdout=output, stderr=output, env=clean_environment(), cwd=folder)
    samples = []
    while process.poll() is None:
        time.sleep(SECONDS_BETWEEN_SAMPLES)
        found = sample(process.pid, log)
        if found is not None and found[0]:
            samples.append(found)
    if process.returncode:
        sys.exit(f"{log}: fairseq-train ended with status {process.returncode}")
    return samples


def slope_per_1000(samples, value):
    """Least squares, over what follows the first quarter of the updates."""
    points = [(found[0], value(found)) for found in samples if found[0] > samples[-1][0] / 4]
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points))
    return 1000 * sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def report(samples):
    print(f"{'updates':>8}{'main MiB':>10}{'anonymous':>11}{'files':>7}{'workers':>9}{'worker MiB':>12}{'anonymous':>11}{'files':>7}")
    last = samples[-1][0]
    for row in range(ROWS + 1):
        updates, main, worker, number = min((found for found in samples if found[2]), key=lambda found: abs(found[0] - last * row / ROWS))
        print(f"{updates:>8,}{main[0]:>10,.1f}{main[1]:>11,.1f}{main[2]:>7}{number:>9}{worker[0]:>12,.1f}{worker[1]:>11,.1f}{worker[2]:>7}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--updates", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    args, more = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "data" if (folder / "data/config.yaml").exists() else prepared(folder)
        samples = measure(data, folder, args.updates, args.workers, more)
    report(samples)
    growth, last = slope_per_1000(samples, lambda found: found[1][1]), samples[-1][0]
    print(f"main process: {growth:+.2f} MiB per 1,000 updates, at most {GROWTH_MIB}")
    grows = growth > GROWTH_MIB
    counts = {
        "workers": lambda found: found[3],
        "open files": lambda found: found[1][2],
        "open files of a worker": lambda found: (found[2] or [0])[-1],
    }
    for name, count in counts.items():
        quarters = [[count(found) for found in samples if quarter < 4 * found[0] / last <= quarter + 1] for quarter in range(4)]
        second, fourth = statistics.median(quarters[1]), statistics.median(quarters[3])
        print(f"{name}: {second:g} in the second quarter, {fourth:g} in the last")
        grows |= fourth > second
    sys.exit(grows)


if __name__ == "__main__":
    main()
