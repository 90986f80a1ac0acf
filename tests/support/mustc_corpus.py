"""A small corpus in MuST-C's layout, and `speechllm prepare` on it in this process."""

import itertools
import random

import numpy as np
import soundfile
from prepare_command import manifests_in, prepare

RATE = 16000
WORDS = {
    "en": ["zero", "one", "two", "three", "four", "five", "six", "seven"],
    "de": ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben"],
    "fr": ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept"],
}
FINISHED = {"train.tsv", "dev.tsv", "tst-COMMON.tsv", "config.yaml"}


class Corpus:
    """A MuST-C folder of noise and number words; the same utterances in each target language."""

    def __init__(self, root, targets=("de",)):
        self.root, self.targets = root, targets
        self.segments = {split: [] for split in ("train", "dev", "tst-COMMON")}
        self.folder = {split: root / f"en-{targets[0]}/data/{split}" for split in self.segments}

    def add_talk(self, split, talk, durations):
        """One segment per duration (seconds), with pauses between them."""
        rng = random.Random(f"{split} {talk}")
        clock = 0.0
        for duration in durations:
            clock += 0.25
            numbers = [rng.randrange(8) for _ in range(rng.randint(1, 5))]
            texts = {"en": " ".join(WORDS["en"][n] for n in numbers)}
            texts |= {target: " ".join(WORDS[target][n] for n in reversed(numbers)) for target in self.targets}
            self.segments[split].append({"talk": talk, "offset": clock, "duration": duration, **texts})
            clock += duration
        for target in self.targets:
            wav = self.root / f"en-{target}/data/{split}/wav/ted_{talk}.wav"
            wav.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(wav, np.random.default_rng(talk).uniform(-0.3, 0.3, round(clock * RATE)), RATE)

    def write_texts(self):
        for (split, segments), target in itertools.product(self.segments.items(), self.targets):
            txt = self.root / f"en-{target}/data/{split}/txt"
            txt.mkdir(parents=True, exist_ok=True)
            lines = (
                f"- {{duration: {s['duration']:.6f}, offset: {s['offset']:.6f}, rW: 1, speaker_id: spk.{s['talk']}, uW: 0, wav: ted_{s['talk']}.wav}}"
                for s in segments
            )
            (txt / f"{split}.yaml").write_text("\n".join(lines) + "\n")
            for lang in ("en", target):
                (txt / f"{split}.{lang}").write_text("".join(s[lang] + "\n" for s in segments), encoding="utf-8")
        return self


def small_corpus(root, targets=("de",)):
    """Rows of every kind that prepare tells apart: too short and too long for training, shorter than a window in dev."""
    corpus = Corpus(root, targets)
    corpus.add_talk("train", 1, [0.3, 0.5, 0.04, 0.41, 31.0, 0.07])
    corpus.add_talk("train", 2, [0.25] * 15)
    corpus.add_talk("dev", 3, [0.04, 0.6, 0.02])
    corpus.add_talk("tst-COMMON", 4, [0.4, 0.35])
    return corpus.write_texts()


def run(corpus, out, *options, task="st", sizes=("26", "26")):
    flags = ["--source-lang", "en", "--target-lang", *corpus.targets, "--task", task, "--vocab-size", sizes[0], "--transcript-vocab-size", sizes[1]]
    prepare("mustc", corpus.root, out, *flags, *options)
    return manifests_in(out)


def looks_finished(folder):
    return folder.exists() and bool(FINISHED & {path.name for path in folder.iterdir()})


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (".prepare.json", "config.yaml")}
