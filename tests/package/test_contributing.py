"""The examples of CONTRIBUTING.md, copied from the page into folders of their own, work with the stock commands."""

import json
import re
import sys

import numpy as np
import pytest
import soundfile
import synthetic_runs
from commands import MODELS, ROOT, generate, hypotheses, run_warm, succeeded, train, updates
from mustc_corpus import RATE, WORDS

from speechllm_plugin.data import manifest

pytestmark = pytest.mark.end_to_end

TASK = ["--task", "speechllm_speech_to_text"]
CRITERION = ["--criterion", "ctc_cross_entropy"]
EXAMPLE = re.compile(r"^<!-- example: (\S+) -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder for each kind of extension, with the files that the page shows."""
    folder = tmp_path_factory.mktemp("examples")
    for name, code in EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")
    return folder


def warm_with_package(*command, cwd, input=None):
    """A command in whose Python `import speechllm_plugin` works, as after `source recipes/environment.sh`."""
    return run_warm(*command, cwd=cwd, python_path=ROOT, input=input)


def trains_and_decodes(data, out, user_dir, model):
    plugin = ["--user-dir", user_dir, *TASK]
    process = succeeded(train(data, out, model=model, updates=3, plugin=[*plugin, *CRITERION], run=warm_with_package))
    assert set(updates(process)) == {1, 2, 3} and all(np.isfinite(float(logged["loss"])) for logged in updates(process).values())
    decoded = succeeded(generate(data, out / "checkpoint_last.pt", "tst-COMMON", plugin=plugin, run=warm_with_package))
    assert hypotheses(decoded.stdout).keys() == set(range(13))
    return process


@pytest.mark.parametrize("name", MODELS)
def test_an_encoder(name, examples, data, tmp_path):
    """Under both decoders, with CTC and compression, with its own subsampling and positions."""
    model = [*map(str, MODELS[name])]
    model[model.index("--encoder") + 1] = "neighbours"
    process = trains_and_decodes(data, tmp_path / "run", examples / "encoder/neighbours", model)
    assert "FrameStacking" in process.stdout + process.stderr and "NeighbourLayer" in process.stdout + process.stderr


def test_a_compression(examples, data, tmp_path):
    trains_and_decodes(data, tmp_path / "run", examples / "compression/pairs", [*MODELS["dfp_conformer_compressed"], "--ctc-compression", "pairs"])


def test_a_corpus(examples, tmp_path):
    """Prepared by its own command, and trained on."""
    root, rng = tmp_path / "corpus", np.random.default_rng(0)
    (root / "clips").mkdir(parents=True), (root / "en-de").mkdir()
    for split, number in (("train", 20), ("dev", 6), ("test", 5)):
        lines = []
        for row in range(number):
            clip, words = f"{split}{row}.wav", rng.integers(0, 8, 3)
            soundfile.write(root / "clips" / clip, rng.uniform(-0.3, 0.3, RATE // 2 + 800 * row), RATE)
            lines.append("|".join([clip, *(" ".join(WORDS[language][word] for word in words) for language in ("en", "de"))]))
        (root / f"en-de/{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = ["--source-lang", "en", "--target-lang", "de", "--task", "st", "--vocab-size", 26, "--transcript-vocab-size", 26, "--workers", 1]
    command = [sys.executable, "-m", "stories", "prepare", "stories", "--root", root, *options, "--out", tmp_path / "data"]
    succeeded(warm_with_package(*command, cwd=examples / "corpus"))
    header, *rows = (tmp_path / "data/train.tsv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 20 and header.startswith("id\taudio\tn_frames\ttgt_text")
    assert set(updates(succeeded(train(tmp_path / "data", None, updates=2)))) == {1, 2}
    (root / "en-de/dev.txt").write_text("one|two\n")
    failed = warm_with_package(*command[:-1], tmp_path / "other", cwd=examples / "corpus")
    assert failed.returncode == 1 and "dev.txt:1: a line must be FILE|TRANSCRIPT|TRANSLATION, but has 2 fields" in failed.stderr


def test_a_metric(examples, tmp_path):
    """Beside a metric of ours, with an interval; a difference in case and punctuation is none."""
    texts = [("One two.", "one two"), ("Three", "four"), ("five!", "Five"), ("six", "six")]
    rows = [manifest.Utterance(f"u{number}", "a.wav", 10, wanted, "", wanted, "en", "en") for number, (wanted, _) in enumerate(texts)]
    manifest.write(tmp_path / "test.tsv", rows)
    lines = [f"T-{row}\t{wanted}\nH-{row}\t-1\t{said}\nD-{row}\t-1\t{said}\n" for row, (wanted, said) in enumerate(texts)]
    (tmp_path / "generate-test.txt").write_text("".join(lines))
    options = ["--hypotheses", tmp_path / "generate-test.txt", "--manifest", tmp_path / "test.tsv", "--metrics", "exact", "wer"]
    command = [sys.executable, "-m", "exact", "score", *options, "--json", tmp_path / "score.json"]
    process = succeeded(warm_with_package(*command, cwd=examples / "metric"))
    scores = json.loads((tmp_path / "score.json").read_text())["metrics"]
    assert scores.keys() == {"exact", "wer", "wer_normalised"} and "\nexact  " in process.stdout
    assert scores["exact"]["score"] == 75 and scores["exact"]["low"] < 75 < scores["exact"]["high"]
    assert scores["exact"]["signature"].startswith("nrefs:1|case:lc|punct:no|")


def test_a_slice(examples, tmp_path):
    """In a report of two systems: as many rows as the test set has questions."""
    runs = synthetic_runs.make(tmp_path / "runs", utterances=40)
    questions = sum(row.tgt_text.endswith("?") for row in manifest.read(tmp_path / "runs/data" / f"{synthetic_runs.SPLIT}.tsv"))
    options = ["--out", tmp_path / "report.html", "--tables", tmp_path / "tables", "--resamples", 50, "--no-checkpoints", "--no-audio"]
    systems = [f"{name}={run}" for name, run in zip(synthetic_runs.SYSTEMS, runs)]
    succeeded(warm_with_package(sys.executable, "-m", "questions", "report", *systems, *options, cwd=examples / "slice"))
    rows = [line.split(" | ") for line in (tmp_path / "tables/slices.md").read_text(encoding="utf-8").splitlines()]
    sizes = {row[0].removeprefix("| "): row[1] for row in rows if "question" in row[0]}
    assert sizes == {"question": str(questions), "no question": str(40 - questions)} and 0 < questions < 40
    assert "<figcaption>Question</figcaption>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_has_an_example_of_each_kind(examples):
    assert {path.name for path in examples.iterdir()} == {"encoder", "compression", "corpus", "slice", "metric"}
