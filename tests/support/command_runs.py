"""What the end-to-end tests share, as a plugin of pytest: one prepared corpus, and the runs of three models on it."""

import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from commands import MODELS, PROCESSES_AT_ONCE, generate, speechllm, succeeded, train
from mustc_corpus import Corpus


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
def spoken(tmp_path_factory):
    """A MuST-C corpus with splits of 22, 9 and 13 utterances between 0.3 and 1.2 s: none a multiple of 8."""
    corpus, rng = Corpus(tmp_path_factory.mktemp("commands") / "mustc"), random.Random(0)
    for talk, (split, size) in enumerate([("train", 11), ("train", 11), ("dev", 9), ("tst-COMMON", 13)]):
        corpus.add_talk(split, talk, [round(rng.uniform(0.3, 1.2), 2) for _ in range(size)])
    return corpus.write_texts()


@pytest.fixture(scope="session")
def data(spoken):
    """The corpus as `speechllm prepare` stores it."""
    out = spoken.root.parent / "data"
    languages = ["--source-lang", "en", "--target-lang", "de", "--task", "st"]
    sizes = ["--vocab-size", 26, "--transcript-vocab-size", 26, "--workers", 1]
    succeeded(speechllm("prepare", "mustc", "--root", spoken.root, *languages, "--out", out, *sizes, cwd=spoken.root.parent))
    return out


@pytest.fixture(scope="session")
def runs(data):
    """Name of a model -> future of its Run: trained with checkpoints after every 2 updates, averaged, decoded, scored."""

    def run_pipeline(name):
        out = data.parent / name
        training = succeeded(train(data, out, "--save-interval-updates", 2, model=MODELS[name]))
        succeeded(speechllm("average", "--inputs", out, "--num", 2, "--by", "updates", "--output", out / "average.pt", cwd=data.parent))
        generation = succeeded(generate(data, out / "average.pt", "tst-COMMON", "--results-path", out))
        manifest, output = data / "tst-COMMON.tsv", out / "generate-tst-COMMON.txt"
        score = succeeded(speechllm("score", "--hypotheses", output, "--manifest", manifest, "--json", out / "score.json", cwd=data.parent))
        return Run(out, training, generation, score, output.read_text(encoding="utf-8"))

    with ThreadPoolExecutor(PROCESSES_AT_ONCE) as pool:
        yield {name: pool.submit(run_pipeline, name) for name in MODELS}


@pytest.fixture(scope="session")
def trained(runs):
    """The run with everything in it: Conformer, CTC, compression."""
    return runs["dfp_conformer_compressed"].result()
