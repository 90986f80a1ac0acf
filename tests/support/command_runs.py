"""What the end-to-end tests share, as a plugin of pytest: one prepared corpus, and the runs of three models on it."""

import functools
import random
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import MODELS, generate, run, run_warm, speechllm, succeeded, train
from mustc_corpus import Corpus

# Its commands start from nothing, as a user's do.
FRESH = "dfp_conformer_compressed"


class Run(NamedTuple):
    """The processes of one experiment and the folder of its files; `decoded` is what fairseq-generate wrote."""

    folder: Path
    train: subprocess.CompletedProcess
    generate: subprocess.CompletedProcess
    score: subprocess.CompletedProcess
    decoded: str

    @property
    def checkpoint(self):
        return self.folder / "average.pt"


@pytest.fixture(scope="session")
def spoken(made_once):
    """A MuST-C corpus with splits of 22, 9 and 13 utterances between 0.3 and 1.2 s: none a multiple of 8."""

    def make(folder):
        corpus, rng = Corpus(folder / "mustc"), random.Random(0)
        for talk, (split, size) in enumerate([("train", 11), ("train", 11), ("dev", 9), ("tst-COMMON", 13)]):
            corpus.add_talk(split, talk, [round(rng.uniform(0.3, 1.2), 2) for _ in range(size)])
        return corpus.write_texts()

    return made_once("corpus", make)


@pytest.fixture(scope="session")
def data(spoken, made_once):
    """The corpus as `speechllm prepare` stores it."""

    def make(folder):
        out, options = folder / "data", ["--source-lang", "en", "--target-lang", "de", "--task", "st"]
        sizes = ["--vocab-size", 26, "--transcript-vocab-size", 26, "--workers", 1]
        succeeded(speechllm("prepare", "mustc", "--root", spoken.root, *options, "--out", out, *sizes, cwd=folder, run=run))
        return out

    return made_once("commands", make)


@pytest.fixture(scope="session")
def run_of(data, made_once):
    """Name of a model -> its Run: trained with checkpoints after every 2 updates, averaged, decoded, scored."""

    def run_pipeline(name, out):
        start = run if name == FRESH else run_warm
        averaging = ["--inputs", out, "--num", 2, "--by", "updates", "--output", out / "average.pt"]
        manifest, output = data / "tst-COMMON.tsv", out / "generate-tst-COMMON.txt"
        scoring = ["--hypotheses", output, "--manifest", manifest, "--json", out / "score.json"]
        training = succeeded(train(data, out, "--save-interval-updates", 2, model=MODELS[name], run=start))
        succeeded(speechllm("average", *averaging, cwd=out, run=start))
        generation = succeeded(generate(data, out / "average.pt", "tst-COMMON", "--results-path", out, run=start))
        score = succeeded(speechllm("score", *scoring, cwd=out, run=start))
        return Run(out, training, generation, score, output.read_text(encoding="utf-8"))

    return functools.cache(lambda name: made_once(name, lambda folder: run_pipeline(name, folder)))


@pytest.fixture(scope="session")
def trained(run_of):
    """The run with everything in it: Conformer, CTC, compression."""
    return run_of("dfp_conformer_compressed")
