"""A small corpus in the layout of Common Voice and CoVoST 2."""

import csv

import numpy as np
import soundfile

RATES = (48000, 32000)


def clip_name(language, number):
    return f"common_voice_{language}_{number}.mp3"


class CommonVoice:
    """One language: clips of noise, their rows of validated.tsv, and of covost_v2.SRC_TGT.tsv for each target language.

    texts: transcript, and translation into each of `targets`, of utterance n.
    """

    def __init__(self, root, language, targets, splits, texts, columns=("age", "gender", "accent")):
        self.root, self.language, self.targets = root, language, targets
        self.voices, self.translations = [], {target: [] for target in targets}
        (root / language / "clips").mkdir(parents=True)
        for number, split in enumerate(splits):
            transcript, *translations = texts(number)
            name, rate = clip_name(language, number), RATES[number % 2]
            noise = np.random.default_rng(number).uniform(-0.3, 0.3, round((0.2 + 0.05 * (number % 5)) * rate))
            soundfile.write(root / language / "clips" / name, noise, rate)
            about = {column: f"{column} {number % 3}" for column in columns}
            self.voices.append({"client_id": f"client {number % 4}", "path": name, "sentence": transcript, **about})
            for target, translation in zip(targets, translations):
                self.translations[target].append({"path": name, "translation": translation, "client_id": "-", "split": split})

    def write(self):
        self.write_table("validated.tsv", self.voices)
        for target, rows in self.translations.items():
            self.write_table(f"covost_v2.{self.language}_{target}.tsv", rows)
        return self

    def write_table(self, name, rows):
        with open(self.root / self.language / name, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, escapechar="\\", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
