"""Folders of finished runs without any training: invented words, references, and hypotheses that are corrupted references.

For tests, and for the time that a report of a large test set takes:

    python3 tests/synthetic_runs.py OUT --utterances 2587
    time speechllm report dfp=OUT/dfp-seed1 xattn=OUT/xattn-seed1 --out OUT/report.html

OUT/data has SPLIT.tsv, train.tsv, silence.tsv and config.yaml; OUT/SYSTEM-seedN what the recipes leave behind, but no checkpoints.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import soundfile

SPLIT = "tst-COMMON"
ACCENTS = {"us": 0.0, "england": 0.02, "scotland": 0.05, "indian": 0.08, "mexican": 0.12}  # what is added to the probability of an error
GENDERS, AGES = ("female", "male"), ("twenties", "thirties", "fifties")
SYSTEMS = {"dfp": 0.09, "xattn": 0.11}  # probability of an error
MEAN_WORDS = 18
SECONDS_PER_WORD = 0.35
NUM_SPEAKERS = 27
RATE = 16000
HEADER = ["id", "audio", "n_frames", "tgt_text", "speaker", "src_text", "src_lang", "tgt_lang", "accent", "gender", "age", "recording"]
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"


class Language:
    """Invented words whose frequencies fall as those of a language; some names stand in no training text."""

    def __init__(self, rng, num_words=6000, num_names=60):
        self.rng = rng
        syllables = [rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(12 * num_words)]
        words = ("".join(syllables[4 * number : 4 * number + 1 + min(3, number // 40)]) for number in range(3 * num_words))
        self.words = list(dict.fromkeys(words))[:num_words]
        self.names = [f"{word.capitalize()}x" for word in self.words[-num_names:]]
        self.weights = np.cumsum([1 / (rank + 2) for rank in range(len(self.words))])

    def word(self):
        return self.words[int(np.searchsorted(self.weights, self.rng.random() * self.weights[-1]))]

    def sentence(self, names=0.0):
        length = max(2, min(60, round(self.rng.lognormvariate(np.log(MEAN_WORDS) - 0.15, 0.55))))
        words = [self.rng.choice(self.names) if self.rng.random() < names else self.word() for _ in range(length)]
        return f"{' '.join(words).capitalize()}{self.rng.choice('..?!')}"


def make(folder, utterances=40, seeds=1, training=400, systems=SYSTEMS, targets=("en",), recordings=False, silent=8, seed=0):
    """The folders of the runs, systems first, seeds second.

    Args:
        targets: languages of the references, in turn; en, the language of the speech, is recognition.
        recordings: whether data/recordings has the sound that the column `recording` names.
        silent: utterances of the silence set; 0 makes none.
    """
    folder, rng = Path(folder), random.Random(seed)
    data, language = folder / "data", Language(rng)
    data.mkdir(parents=True)
    speakers = {f"spk.{number}": (list(ACCENTS)[number % len(ACCENTS)], GENDERS[number % 2], AGES[number % 3]) for number in range(NUM_SPEAKERS)}
    test = [row_of(language, f"test_{number}", rng, speakers, targets[number % len(targets)], names=0.02) for number in range(utterances)]
    train = [row_of(language, f"train_{number}", rng, speakers, targets[number % len(targets)]) for number in range(training)]
    write_manifest(data / f"{SPLIT}.tsv", test)
    write_manifest(data / "train.tsv", train)
    if silent:
        write_manifest(data / "silence.tsv", [{**test[0], "id": f"silence_{number}", "tgt_text": "", "src_text": ""} for number in range(silent)])
    (data / "config.yaml").write_text("input_feat_per_channel: 80\nrecording_root: recordings\n")
    if recordings:
        (data / "recordings").mkdir()
        for speaker in speakers:
            noise = np.random.default_rng(0).normal(0, 0.05, 30 * RATE)
            soundfile.write(data / "recordings" / f"{speaker}.wav", noise, RATE)
    runs = []
    for system, probability in systems.items():
        for number in range(1, seeds + 1):
            run = folder / f"{system}-seed{number}"
            run.mkdir()
            rng = random.Random(f"{seed} {system} {number}")
            write_generated(run, SPLIT, data, [(row["tgt_text"], corrupted(row, probability, language, rng)) for row in test])
            if silent:
                write_generated(run, "silence", data, [("", language.word() if rng.random() < 2 * probability else "") for _ in range(silent)])
            (run / "train.log").write_text(train_log(rng), encoding="utf-8")
            runs.append(run)
    return runs


def row_of(language, name, rng, speakers, target, names=0.0):
    speaker = rng.choice(list(speakers))
    transcript = language.sentence(names)
    seconds = max(0.5, len(transcript.split()) * SECONDS_PER_WORD * rng.uniform(0.8, 1.25))
    text = transcript if target == "en" else translation(transcript, target)
    values = [
        name,
        f"fbank80.zip:{rng.randrange(10**6)}:1000",
        str(round(100 * seconds)),
        text,
        speaker,
        transcript,
        "en",
        target,
        *speakers[speaker],
    ]
    start = rng.randrange(5 * RATE)
    return dict(zip(HEADER, [*values, f"{speaker}.wav:{start}:{min(round(seconds * RATE), 20 * RATE)}"]))


def translation(text, target):
    """Another word for each word, by the target language."""
    return " ".join(word[::-1] + target for word in text.rstrip(".?!").split()).capitalize() + text[-1]


def corrupted(row, probability, language, rng):
    """What a recogniser makes of a reference: more errors with a far accent, and with words that training lacks; rarely a loop or nothing."""
    if rng.random() < 0.004:
        return ""
    probability += ACCENTS[row["accent"]] * rng.uniform(0.5, 1.5)
    words = []
    for word in row["tgt_text"].split():
        if rng.random() >= probability * (5 if word.lower().rstrip(".?!").endswith("x") else 1):
            words.append(word)
        elif (error := rng.random()) < 0.6:
            words.append(language.word())
        elif error < 0.8:
            words += [word, language.word()]
    if words and rng.random() < 0.006:
        words += words[-2:] * 4
    return " ".join(words)


def write_manifest(path, rows):
    path.write_text("".join("\t".join(line) + "\n" for line in [HEADER, *(row.values() for row in rows)]), encoding="utf-8")


def write_generated(run, split, data, pairs):
    """As fairseq-generate writes them, longest first."""
    lines = []
    for row, (target, hypothesis) in sorted(enumerate(pairs), key=lambda each: -len(each[1][0])):
        lines += [f"T-{row}\t{target}", f"H-{row}\t-0.31\t{hypothesis}", f"D-{row}\t-0.31\t{hypothesis}", f"P-{row}\t-0.2 -0.4"]
    seconds = round(len(pairs) / 93, 1)
    (run / f"generate-{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (run / f"generate-{split}.log").write_text(
        f"$ fairseq-generate {data} --path {run / 'average.pt'} --gen-subset {split} --results-path {run}\n"
        f"INFO:fairseq_cli.generate:Translated {len(pairs):,} sentences ({20 * len(pairs):,} tokens) in {seconds}s "
        f"({len(pairs) / max(seconds, 0.1):.2f} sentences/s, {20 * len(pairs) / max(seconds, 0.1):.2f} tokens/s)\n"
        "INFO:speechllm_plugin.host.peak_memory:peak memory: process 1,812 MiB, GPU 2,345 MiB\n",
        encoding="utf-8",
    )


def train_log(rng, num_epochs=30, updates_per_epoch=700):
    lines = ["fairseq_cli.train | num. shared model params: 33,123,456 (num. trained: 33,123,456)"]
    for epoch in range(1, num_epochs + 1):
        updates = epoch * updates_per_epoch
        for subset, gap in (("train", 0.0), ("dev", 0.25)):
            loss = 2.2 + gap + 6 * np.exp(-epoch / 6) + rng.uniform(-0.03, 0.03)
            values = {"loss": loss, "nll_loss": 0.8 * loss - 1.2, "ctc_loss": 0.7 * loss - 0.6, "frames_per_second": rng.uniform(9e4, 11e4)}
            values = {f"{subset}_{name}": f"{value:.3f}" for name, value in values.items()} | {f"{subset}_num_updates": str(updates)}
            lines.append(f"{subset} | {json.dumps({'epoch': epoch, **values})}")
        lines.append(f"train_inner | {json.dumps({'epoch': epoch, 'loss': '2.0', 'num_updates': str(updates)})}")
    return "".join(f"2026-01-01 12:00:00 | INFO | {line}\n" for line in lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--utterances", type=int, default=2587, help="of MuST-C's tst-COMMON (default: %(default)s)")
    parser.add_argument("--training", type=int, default=20000, help="utterances of train.tsv (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--targets", nargs="+", default=["en"], help="languages of the references (default: recognition)")
    parser.add_argument("--recordings", action="store_true")
    args = parser.parse_args()
    print(*make(args.out, args.utterances, args.seeds, args.training, targets=args.targets, recordings=args.recordings), sep="\n")
