"""`speechllm report` on models that were really trained: attention, compression rates and sound from the runs' own files."""

import re

import pytest
from commands import ROOT, run, speechllm, succeeded

pytestmark = pytest.mark.end_to_end

MODELS = {"dfp": "dfp_conformer_compressed", "xattn": "xattn_transformer"}
OPTIONS = ["--resamples", 200, "--examples", 3, "--metrics", "ter", "bleu"]
WITHOUT_TORCH = """
import sys
sys.argv = ["speechllm", *sys.argv[1:]]
from speechllm_plugin.commands import cli
sys.exit(cli.main() or ", ".join({"torch", "fairseq"} & set(sys.modules)) or 0)
"""


@pytest.fixture(scope="module")
def systems(run_of, data):
    """The arguments of the command; the logs stand where the recipes write them."""
    arguments = []
    for name, model in MODELS.items():
        finished = run_of(model)
        folder = finished.folder
        (folder / "train.log").write_text(finished.train.stdout + finished.train.stderr, encoding="utf-8")
        command = f"$ fairseq-generate {data} --path {finished.checkpoint} --gen-subset tst-COMMON --results-path {folder}\n"
        (folder / "generate-tst-COMMON.log").write_text(command + finished.generate.stdout + finished.generate.stderr, encoding="utf-8")
        arguments.append(f"{name}={folder}")
    return arguments


@pytest.fixture(scope="module")
def page(systems, data):
    out = data.parent / "report.html"
    succeeded(speechllm("report", *systems, "--out", out, *OPTIONS, cwd=data.parent))
    return out.read_text(encoding="utf-8")


def section(page, name):
    return re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)[1]


def test_both_models_show_what_they_read_for_the_same_utterances(page):
    attention = section(page, "attention")
    assert attention.count("<h3>") == 3 and attention.count("<figure>") == 6
    assert attention.count("Attention of dfp to") == attention.count("Attention of xattn to") == 3
    assert attention.count("data:image/png;base64,") == 6 and "&lt;/s&gt;" in attention


def test_compression_rates_are_drawn_and_sliced_for_the_model_that_compresses(page):
    assert "Histogram of the compression rates of the utterances. dfp: mean" in section(page, "speed")
    assert "<figcaption>Compression rate</figcaption>" in section(page, "slices")


def test_curves_speeds_and_parameters_come_from_the_logs(page):
    assert section(page, "training").count("<figure>") == 3
    speeds = re.findall(r'<td class="number[^"]*">([\d,.]+)</td>', section(page, "speed"))
    assert len(speeds) >= 2 * 5 and "Parameters" in section(page, "scores")
    assert re.search(r"<td[^>]*>\d+</td><td[^>]*>–</td></tr>", section(page, "speed"))  # MiB of the process, none of a GPU


def test_the_speech_can_be_played(page):
    assert section(page, "utterances").count("data:audio/mpeg;base64,") == 3


def test_what_was_inspected_before_needs_no_torch_again(page, systems, data):
    again = data.parent / "again.html"
    arguments = ["report", *systems, "--out", again, *OPTIONS]
    succeeded(run("python3", "-c", WITHOUT_TORCH, *arguments, cwd=data.parent, python_path=ROOT))
    assert section(again.read_text(encoding="utf-8"), "attention") == section(page, "attention")


def test_a_checkpoint_of_something_else_is_an_error_that_says_how_to_do_without(run_of, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for path in run_of(MODELS["dfp"]).folder.glob("generate-*"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "average.pt").write_bytes(b"not a checkpoint")
    failed = speechllm("report", folder, "--out", tmp_path / "r.html", "--resamples", 50, cwd=tmp_path)
    assert failed.returncode == 1 and "--no-checkpoints" in failed.stderr and not (tmp_path / "r.html").exists()
