"""`speechllm translate` where something is wrong: one line on stderr, and no file; killed in the middle, it goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from commands import ROOT, last_line, speechllm, succeeded

from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.distillation import kd_file

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(texts, ids="u{}", **columns):
    languages = {"src_lang": "en", "tgt_lang": "de"} | columns
    return [Utterance(ids.format(row), "a.wav", 10, "x", src_text=text, **languages) for row, text in enumerate(texts)]


def arguments(tmp_path, *options, model="nowhere"):
    required = {"--data": tmp_path, "--split": "train", "--model": model, "--out": tmp_path / "kd.tsv", "--cache": tmp_path / "cache"}
    return ["translate", *(str(part) for pair in required.items() for part in pair), *map(str, options)]


def fails(tmp_path, capsys, *options, **settings):
    """The message of a run that must end in one line and leave nothing."""
    assert cli.main(arguments(tmp_path, *options, **settings)) == 1
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1 and error[0].startswith("speechllm: error: "), error
    assert not (tmp_path / "kd.tsv").exists() and not (tmp_path / "cache").exists()
    return error[0].removeprefix("speechllm: error: ")


@pytest.mark.parametrize(
    "given, options, message",
    [
        (rows(["one", "", " "]), [], "train.tsv: src_text must be filled in, but is empty in 2 of 3 rows: u1, u2"),
        (rows(["one", "two"], src_lang=""), [], "train.tsv: src_lang must be filled in, but is empty in 2 of 2 rows: u0, u1"),
        (rows(["one", "two"], tgt_lang="en"), [], "train.tsv: tgt_lang must differ from src_lang, but does not in 2 of 2 rows: u0, u1"),
        (rows(["one"]), ["--kbest", 3, "--beam", 2], "--kbest must be at most --beam (2), but is 3"),
        (rows(["one"]), ["--gpus", -1], "--gpus must not be negative, but is -1"),
        (
            rows(["one"]) + rows(["two"], ids="f{}", tgt_lang="fr"),
            ["--target-code", "deu_Latn"],
            "--target-code deu_Latn would stand for all rows, but",
        ),
    ],
)
def test_what_cannot_be_translated_is_one_line(given, options, message, tmp_path, capsys):
    manifest.write(tmp_path / "train.tsv", given)
    assert message in fails(tmp_path, capsys, *options)


@pytest.mark.parametrize("missing", ["ctranslate2", "transformers", "sacremoses", "google.protobuf"])
def test_without_the_extra_it_says_what_to_install(missing, tmp_path, capsys, monkeypatch):
    manifest.write(tmp_path / "train.tsv", rows(["one"]))
    monkeypatch.setitem(sys.modules, missing, None)
    message = fails(tmp_path, capsys)
    assert message.startswith("this needs the extra nllb, but ")
    assert message.endswith('pip install -c constraints.txt -e ".[nllb]" in the repository')


@pytest.fixture(scope="module")
def nllb(tmp_path_factory):
    pytest.importorskip("ctranslate2", reason="needs the extra nllb")
    models = pytest.importorskip("pretrained_models", reason="needs the extra nllb")
    models.torch.manual_seed(0)
    return models.save_nllb(tmp_path_factory.mktemp("pretrained") / "nllb")


@pytest.mark.parametrize(
    "source, columns, options, message",
    [
        ("one two", {"tgt_lang": "dey"}, [], "tgt_lang 'dey': the language code 'dey' is unknown to the model; its nearest names are deu"),
        ("one two", {"src_lang": "tlh"}, [], "src_lang 'tlh': the language code 'tlh' is unknown to the model; its nearest names are "),
        ("one two", {}, ["--target-code", "de"], "--target-code: 'de' is no language of the model; its nearest names are deu_Latn, "),
        ("one two", {}, ["--max-length", 300], "--max-length must be below the model's number of positions (300), but is 300"),
        ("one two", {}, ["--gpus", 99], "--gpus must be at most the number of visible GPUs ("),
        ("one " * 299, {}, [], "src_text must have at most 300 tokens for this model, but has more in 1 rows: u0"),
    ],
)
def test_what_the_model_cannot_do_is_one_line_before_it_is_converted(source, columns, options, message, nllb, tmp_path, capsys):
    manifest.write(tmp_path / "train.tsv", rows([source], **columns))
    assert message in fails(tmp_path, capsys, *options, model=nllb)


def test_a_compute_type_that_the_device_lacks_is_one_line(nllb, tmp_path, capsys):
    import ctranslate2

    from speechllm_plugin.distillation.ctranslate2_teacher import COMPUTE_TYPES

    manifest.write(tmp_path / "train.tsv", rows(["one"]))
    lacking = sorted(set(COMPUTE_TYPES) - ctranslate2.get_supported_compute_types("cpu"))
    if not lacking:
        pytest.skip("this processor has all compute types")
    assert "--compute-type must be of " in fails(tmp_path, capsys, "--compute-type", lacking[0], model=nllb)


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, "must be a Hugging Face model, but has no config.json"),
        ({"config.json": {"model_type": "gpt2"}}, "must be of a type that translates (m2m_100 mbart marian t5 "),
        ({"config.json": {"add_source_bos": False}}, "cannot be read ("),
        ({"config.json": {"model_type": "m2m_100"}}, "the tokenizer of "),
    ],
)
def test_a_folder_that_is_no_such_model_is_one_line(files, message, nllb, tmp_path, capsys):
    manifest.write(tmp_path / "train.tsv", rows(["one"]))
    (tmp_path / "model").mkdir()
    for name, content in files.items():
        (tmp_path / "model" / name).write_text(json.dumps(content))
    assert message in fails(tmp_path, capsys, model=tmp_path / "model")


@pytest.mark.end_to_end
def test_a_model_that_cannot_be_had_is_one_line(nllb, tmp_path, monkeypatch):
    manifest.write(tmp_path / "train.tsv", rows(["one"]))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    process = speechllm(*arguments(tmp_path, model="facebook/nllb-200-distilled-600M"), cwd=tmp_path)
    assert process.returncode == 1
    assert "facebook/nllb-200-distilled-600M is no folder, and cannot be had from huggingface.co" in last_line(process)


@pytest.mark.end_to_end
def test_a_killed_command_goes_on_without_loss_or_double(nllb, tmp_path):
    texts = ["one two three four"[: 5 + row % 14] for row in range(300)]
    manifest.write(tmp_path / "train.tsv", rows(texts))
    options = ["--max-tokens", 20, "--beam", 8, "--kbest", 2]
    command = [sys.executable, "-m", "speechllm_plugin.commands.cli", *arguments(tmp_path, *options, model=nllb)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    out, end = tmp_path / "kd.tsv", time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end and not (out.exists() and len(out.read_bytes().splitlines()) > 20):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL  # it was not ready
    num_before = len(out.read_bytes().splitlines())
    assert 20 < num_before < 601
    again = succeeded(speechllm(*arguments(tmp_path, *options, model=nllb), cwd=tmp_path))
    assert " of them from before" in again.stdout and ": 2 of 300 rows each, 0 of" not in again.stdout
    found = kd_file.read(out)
    assert found.keys() == {f"u{row}" for row in range(300)}
    assert len(out.read_bytes().splitlines()) == 601
