"""recipes/fillets and recipes/tuxpaint on small folders: recognition, translation from it and from a teacher, several languages, the search."""

import json
import shutil

import pytest
from commands import ROOT
from digits import TEACHER_TRAINING, TRAINING, bash
from game_corpora import FishFillets, Stamps

from speechllm_plugin.data import manifest

pytestmark = pytest.mark.end_to_end
ROW5 = ROOT / "recipes/models/reduced_row5_dfp_conformer.sh"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("games")
    fillets = FishFillets(folder / "fillets").write()
    fillets.sound_file("alibaba", "x-5").unlink()
    Stamps(folder / "tuxpaint").write()
    settings = TRAINING.replace("--workers 2", "--workers 1 --speed-perturbation 0.9 1.0").replace(
        "--max-tokens 20000 --max-update", "--max-tokens 500 --max-update"
    )
    (folder / "training.sh").write_text(settings + TEACHER_TRAINING.replace("--max-tokens 1000", "--max-tokens 100"))
    return folder


def run(folder, corpus, *arguments, **settings):
    options = ["--root", folder / corpus, "--training", folder / "training.sh", "--out", folder / "out" / corpus]
    process = bash(ROOT / f"recipes/{corpus}/run.sh", *options, *arguments, cwd=folder, **settings)
    assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-3000:]
    return process


def metrics(path):
    return set(json.loads(path.read_text())["metrics"])


def test_translation_starts_from_recognition_and_learns_from_a_teacher(folder):
    run(folder, "fillets", "--vocab-size", 24, "--transcript-vocab-size", 24, "--task", "asr", "cs", "en", ROW5, is_warm=False)
    asr = folder / "out/fillets/asr-cs-en"
    assert {"wer", "cer"} <= metrics(asr / "reduced_row5_dfp_conformer/score-test.json")
    encoder = ["--", "--init-encoder-from", asr / "reduced_row5_dfp_conformer/average.pt"]
    run(folder, "fillets", "--vocab-size", 24, "--transcript-vocab-from", asr / "data", "--kd", "own", "cs", "de", ROW5, *encoder)
    st = folder / "out/fillets/st-cs-de"
    assert {"bleu", "chrf"} <= metrics(st / "reduced_row5_dfp_conformer-kd-own-append/score-test.json")
    rows = manifest.read(st / "data-kd-own-append/train.tsv")
    assert "--train-subset train,texts" in (st / "teacher/.train.options").read_text()
    assert [row.src_text for row in manifest.read(st / "data/texts.tsv")] == ["cs „aba“ a2 b5."] * 2
    assert len(rows) == 44 and {row.extra["speed"] for row in rows} == {"0.9", "1"}


def test_many_languages_are_scored_apart(folder):
    run(folder, "fillets", "--vocab-size", 26, "--transcript-vocab-size", 24, "cs", "de+en", ROW5)
    run(folder, "tuxpaint", "--vocab-size", 13, "--transcript-vocab-size", 15, "--sampling-alpha", 0.5, "es+fr", "en", ROW5)
    for path, languages in (("fillets/st-cs-de+en", {"de", "en"}), ("tuxpaint/st-es+fr-en", {"es", "fr"})):
        assert set(json.loads((folder / f"out/{path}/reduced_row5_dfp_conformer/score-test.json").read_text())["values"]) == languages


def test_the_search_decodes_dev_and_tabulates_every_setting(folder):
    masks = "--specaugment freq_mask_N=1 freq_mask_F=5 time_mask_N=1 time_mask_T=9 time_mask_p=0.3"
    (folder / "settings.txt").write_text(f"# a comment\n24 fast --dropout 0.3 --lr 2e-3\n24 masks --dropout 0.3 -- {masks}\n")
    options = ["--root", folder / "fillets", "--training", folder / "training.sh", "--settings", folder / "settings.txt", "--out", folder / "search"]
    process = bash(ROOT / "recipes/fillets/search.sh", *options, "--jobs", 2, ROW5, "--", "--seed", 3, cwd=folder)
    assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-3000:]
    name = "vocab-24/reduced_row5_dfp_conformer-fast"
    assert any(line.startswith(f"{name} ") for line in process.stdout.splitlines())
    trained = (folder / "search" / name / ".train.options").read_text()
    assert "--lr 1e-3" in trained and trained.index("--lr 2e-3") > trained.index("--lr 1e-3") and "--seed 3" in trained
    assert not list(folder.glob("search/*/*/generate-test.txt"))
    fields = [(folder / f"search/{data}/data/config.yaml").read_text() for data in ("vocab-24", "vocab-24-masks")]
    assert ["time_mask_T: 9\n" in text for text in fields] == [False, True]
    assert (folder / "search/best.txt").read_text().splitlines()[-1] == "reduced_row5_dfp_conformer --dropout 0.3 --lr 2e-3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one or more files"),
        (["--size", 3], "unknown option --size"),
        (["x.sh"], "x.sh: no such file"),
        (["--minutes", 9.5, "--stop-after", 600, ROW5], "do not fit into --stop-after 600"),
    ],
)
def test_what_the_search_cannot_begin_is_said_first(folder, arguments, message):
    process = bash(ROOT / "recipes/fillets/search.sh", *arguments, cwd=folder)
    assert process.returncode == 2 and message in process.stderr


def test_the_benchmark_compares_models_that_had_the_same_minutes(folder):
    settings = (folder / "training.sh").read_text().replace("--speed-perturbation 0.9 1.0", "--vocab-size 24 --transcript-vocab-size 24")
    (folder / "benchmark.sh").write_text(settings)
    models = [ROW5, ROOT / "recipes/models/fairseq_s2t_conformer.sh"]
    options = ["--root", folder / "fillets", "--training", folder / "benchmark.sh", "--out", folder / "benchmark", "--seeds", "1", "--jobs", 2]
    (folder / "flags.txt").write_text("# a comment\nreduced_row5_dfp_conformer --dropout 0.3\n")
    command = [
        *options,
        "--minutes",
        3,
        "--stop-after",
        900,
        "--ctc-decoding-weight",
        0.3,
        "--flags-of",
        folder / "flags.txt",
        *models,
        "--",
        "--max-update",
        3,
        "--save-interval-updates",
        3,
    ]
    process = bash(ROOT / "recipes/fillets/benchmark.sh", *command, cwd=folder)
    assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-3000:]
    assert process.stdout.count("checkpoints in its last fifth: 1, not ") == 2
    out = folder / "benchmark/fillets/asr-cs-en"
    scores = (out / "tables/scores.md").read_text()
    assert all(heading in scores for heading in ("| row5\\_dfp |", "|  | row5\\_dfp-ctc |", "|  | fairseq\\_conformer |", "WER norm."))
    of_peer = (out / "tables-peer/scores.md").read_text()
    assert all(f"| {name} |" in of_peer for name in ("WER norm. ↓ | fairseq\\_conformer", " | row5\\_dfp", " | row5\\_dfp-ctc"))
    assert "--ctc-decoding-weight 0.3" in (out / f"{ROW5.stem}-ctc-seed1/.generate-test.done").read_text()
    assert (out / "report.html").read_text().count("Fish Fillets, Czech recognition, 3 minutes of training each") > 0
    for model in models:
        trained = (out / f"{model.stem}-seed1/.train.options").read_text()
        assert "--stop-time-hours 0.05000" in trained and ("--dropout 0.3" in trained) == (model == ROW5)
    for path in (
        out / "data",
        out / "tables",
        out / "tables-peer",
        *out.glob("*/checkpoints"),
    ):  # as if the rest had been brought from another machine
        shutil.rmtree(path)
    for path in (out / "report.html", *out.glob("*/average.pt")):
        path.unlink()
    process = bash(ROOT / "recipes/fillets/benchmark.sh", *command, cwd=folder)
    assert process.returncode == 0 and "elsewhere" in process.stdout, process.stdout[-1000:] + process.stderr[-3000:]
    assert (out / "tables/scores.md").read_text() == scores and not list(out.glob("*/checkpoints"))


def test_each_model_of_the_benchmark_gets_the_flags_that_it_has(folder):
    models = [ROOT / f"recipes/models/{name}.sh" for name in ("reduced_row5_dfp_conformer", "reduced_row3_decoder_only_12", "fairseq_s2t_conformer")]
    options = ["--root", folder / "fillets", "--out", folder / "dry", "--seeds", 7, "--task", "st", "--gpu", "--hold-out", "speaker=cs-small"]
    process = bash(ROOT / "recipes/fillets/benchmark.sh", *options, *models, cwd=folder, dry_run="1")
    assert process.returncode == 0, process.stdout[-1000:] + process.stderr[-3000:]
    assert "--hold-out speaker=cs-small" in next(line for line in process.stdout.splitlines() if "prepare fillets" in line)
    row5, row3, peer = (line for line in process.stdout.splitlines() if "$ fairseq-train" in line)
    for line, name in ((row5, "reduced_row5_dfp_conformer"), (row3, "reduced_row3_decoder_only_12")):
        start = f"{folder}/dry/fillets/asr-cs-en-without-cs-small/{name}-seed7/average.pt"
        assert all(flag in line for flag in ("--bf16", "--optimizer speechllm_adam", "--cuda-graphs 64", f"--init-encoder-from {start}", "--seed 7"))
    assert "--init-decoder-from" in row3 and "--init-decoder-from" not in row5
    assert (
        "--bf16" in peer
        and f"--load-pretrained-encoder-from {folder}/dry/fillets/asr-cs-en-without-cs-small/fairseq_s2t_conformer-seed7/average.pt" in peer
    )
    assert not any(flag in peer for flag in ("speechllm_adam", "--cuda-graphs", "--num-batch-buckets", "--init-"))
    assert not (folder / "dry").exists()


@pytest.mark.parametrize("script", ["benchmark.sh", "search.sh"])
@pytest.mark.parametrize("words", [["--minutes", ""], ["--root", ""], ["--root"]])
def test_an_option_without_a_value_is_an_error(folder, script, words):
    process = bash(ROOT / "recipes/fillets" / script, *words, cwd=folder)
    assert process.returncode == 2 and process.stderr.endswith(f"error: {words[0]} needs a value\n")
