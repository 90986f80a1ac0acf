"""What tests/same_numbers.sh trains on: FOLDER/digits-mustc, FOLDER/digits-covost and FOLDER/training.sh.

    python3 tests/support/small_study.py FOLDER

Spoken digits where SPEECHLLM_REAL_DATA names them; elsewhere noise under number words, which shows the same: whether numbers change.
"""

import random
import sys
from pathlib import Path

from covost_corpus import CommonVoice
from digits import DATA, TRAINING, lay_out_study
from mustc_corpus import WORDS, Corpus

NUM_UPDATES = 12
SPLITS = {"train": 60, "dev": 10, "tst-COMMON": 20}
VOCAB_SIZES = "VOCAB_SIZE=([asr]=26 [st]=40 [joint]=42 [transcript]=26)"


def lay_out_noise(folder):
    rng = random.Random(0)
    corpus = Corpus(folder / "digits-mustc", targets=("de", "fr"))
    for talk, (split, number) in enumerate(SPLITS.items()):
        corpus.add_talk(split, talk, [round(rng.uniform(0.4, 1.5), 2) for _ in range(number)])
    corpus.write_texts()

    def texts(number):
        pairs = [random.Random(f"{number} {word}").choices(range(len(WORDS["en"])), k=2) for word in range(3)]
        return tuple(" ".join(WORDS[language][tens] + WORDS[language][ones] for tens, ones in pairs) for language in ("en", "de"))

    splits = [split for split, number in (("train", 60), ("dev", 10), ("test", 20)) for _ in range(number)]
    CommonVoice(folder / "digits-covost", "en", ["de"], splits, texts).write()
    sizes = next(line for line in TRAINING.splitlines() if line.startswith("VOCAB_SIZE"))
    # Several batches an epoch: fairseq-train keeps checkpoints by updates within epochs only.
    batches = TRAINING.replace("--lr 1e-3 --max-tokens 20000", "--lr 1e-3 --max-tokens 2000")
    (folder / "training.sh").write_text(batches.replace(sizes, VOCAB_SIZES))


def lay_out(folder):
    folder.mkdir(parents=True, exist_ok=True)
    lay_out_noise(folder) if DATA is None else lay_out_study(folder, num_dev=100, num_test=200)
    training = folder / "training.sh"
    training.write_text(training.read_text().replace("--max-update 3", f"--max-update {NUM_UPDATES}"))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lay_out(Path(sys.argv[1]).resolve())
