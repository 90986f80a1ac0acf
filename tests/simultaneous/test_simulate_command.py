"""`speechllm simulate` as a user gives it, on the shipped models and recordings, and on a checkpoint with compression."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import soundfile
import torch
from commands import speechllm, succeeded
from gpu import needs_gpu

import speechllm_plugin
from speechllm_plugin.commands.cli import main
from speechllm_plugin.data import features, manifest
from speechllm_plugin.data.manifest import Utterance

DIGITS = Path(__file__).resolve().parents[2] / "examples/digits"
TEXTS = dict(line.split("\t") for line in (DIGITS / "recordings/texts.tsv").read_text().splitlines())
RECORDINGS = [DIGITS / "recordings" / name for name in list(TEXTS)[:2]]
MODELS = [DIGITS / "dfp", DIGITS / "xattn"]


@pytest.fixture
def recordings(tmp_path):
    """A manifest of recordings."""
    rows = [
        Utterance(path.stem, str(path), features.num_frames(soundfile.info(path).frames), TEXTS[path.name], src_lang="en", tgt_lang="en")
        for path in RECORDINGS
    ]
    manifest.write(tmp_path / "test.tsv", rows)
    return tmp_path / "test.tsv"


@pytest.fixture
def simulate(capsys, recordings):
    """The status, the output and the last error line of a command."""

    def run(*arguments, models=MODELS[1:], rows=recordings):
        status = main(["simulate", *map(str, models), "--manifest", str(rows), "--device", "cpu", *map(str, arguments)])
        captured = capsys.readouterr()
        errors = [line for line in captured.err.splitlines() if line.startswith("speechllm: error")]
        assert len(errors) == status
        return status, captured.out, "".join(errors)

    return run


def instances(folder):
    return [json.loads(line) for line in (folder / "instances.log").read_text().splitlines()]


def test_tables_and_logs_of_both_models(simulate, tmp_path):
    out = tmp_path / "out"
    status, printed, _ = simulate("--frame-threshold", 4, 1000, "--beam", 1, "--output", out, models=MODELS)
    assert status == 0
    header, *rows = [line.split("\t") for line in (out / "scores.tsv").read_text().splitlines()]
    assert header == ["model", "threshold", "WER", "LAAL ms", "AL ms", "LAAL_CA ms", "AL_CA ms", "no text"]
    assert [row[:2] for row in rows] == [[name, threshold] for name in ("dfp", "xattn") for threshold in ("4", "1000", "offline")]
    for cells in rows:
        assert any(line.split() == cells for line in printed.splitlines())
    seconds = [soundfile.info(path).duration for path in RECORDINGS]
    for path in MODELS:
        expected = [each.text for each in speechllm_plugin.load(path, device="cpu").transcribe(RECORDINGS, beam=1)]
        for name in ("threshold-4", "threshold-1000", "offline"):
            for row, each in enumerate(instances(out / path.name / name)):
                words = each["prediction"].split()
                assert each["source_length"] == pytest.approx(1000 * seconds[row]) and each["prediction_length"] == len(words)
                assert len(each["delays"]) == len(each["elapsed"]) == len(words)
                assert each["delays"] == sorted(each["delays"]) and each["elapsed"] == sorted(each["elapsed"])
                assert all(elapsed > delay for delay, elapsed in zip(each["delays"], each["elapsed"]))
                assert all(delay % 250 == 0 or delay == each["source_length"] for delay in each["delays"])
                if name != "threshold-4":  # a token that waits for all speech is written with all speech
                    assert each["prediction"] == expected[row] and set(each["delays"]) == {each["source_length"]}
                else:
                    assert min(each["delays"]) < each["source_length"]


def test_speech_in_one_part_gives_the_text_of_transcribe(simulate, tmp_path):
    for path in MODELS:
        assert simulate("--frame-threshold", 2, "--segment-ms", 60000, "--beam", 1, "--output", tmp_path / "out", models=[path])[0] == 0
        expected = [each.text for each in speechllm_plugin.load(path, device="cpu").transcribe(RECORDINGS, beam=1)]
        assert [each["prediction"] for each in instances(tmp_path / "out" / path.name / "threshold-2")] == expected


@needs_gpu
def test_a_gpu_writes_the_same_at_the_same_time(simulate, tmp_path):
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for device in ("cpu", "cuda"):
            assert simulate("--frame-threshold", 8, "--output", tmp_path / device, "--device", device, models=MODELS)[0] == 0
    for path in MODELS:
        on_cpu, on_gpu = (instances(tmp_path / device / path.name / "threshold-8") for device in ("cpu", "cuda"))
        assert [(each["prediction"], each["delays"]) for each in on_gpu] == [(each["prediction"], each["delays"]) for each in on_cpu]


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_a_picture(simulate, tmp_path):
    assert simulate("--frame-threshold", 8, "--beam", 1, "--plot", tmp_path / "p.png")[0] == 0
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--frame-threshold", 2, -1], "--frame-threshold must not be negative (0 = no token waits), but is -1"),
        (["--segment-ms", 0], "--segment-ms must be at least 10 (a frame), and finite, but is 0"),
        (["--segment-ms", "nan"], "--segment-ms must be at least 10 (a frame), and finite, but is nan"),
        (["--beam", 0], "--beam must be positive, but is 0"),
        (["--attention-layer", 3], "--attention-layer must be from 1 to 2, the number of decoder layers, but is 3"),
        (["--plot", "p.jpg"], "--plot must end with one of .png, .pdf, .svg, but is p.jpg"),
        (["--manifest", "none.tsv"], "none.tsv: no such manifest"),
        (["--device", "cuda:99"], "--device must be cpu, cuda or cuda:N"),
    ],
)
def test_bad_arguments_are_one_line(simulate, arguments, message):
    status, out, error = simulate(*arguments)
    assert status == 1 and message in error and not out


def test_bad_models_and_manifests_are_one_line(simulate, recordings, tmp_path):
    assert f"{tmp_path / 'none'}: no such model" in simulate(models=[tmp_path / "none"])[2]
    assert "two models are named xattn" in simulate(models=[MODELS[1], f"xattn={MODELS[0]}"])[2]
    header, first, _ = recordings.read_text().splitlines(keepends=True)
    for content, message in (
        (header, "must have rows, but has only a header"),
        (header + first.replace(str(RECORDINGS[0]), "archive.zip:0:100"), "test.tsv:2: must name the sound, which arrives in parts"),
        (header + first.replace(".flac", ".wav"), "no such audio file"),
        (header + first.replace(TEXTS[RECORDINGS[0].name], ""), "all 1 references (tgt_text) are empty"),
        (header + first.replace("\ten\ten", "\ten\tde"), "test.tsv: the text of utterance george is in de (tgt_lang), but xattn writes en"),
    ):
        recordings.write_text(content)
        status, out, error = simulate("--output", tmp_path / "out")
        assert status == 1 and message in error and not (tmp_path / "out").exists()


@pytest.mark.end_to_end
def test_a_checkpoint_with_compression_and_its_data_folder(trained, data, tmp_path):
    arguments = [f"small={trained.checkpoint}", "--manifest", data / "tst-COMMON.tsv", "--frame-threshold", 0, 1000, "--beam", 1, "--output", "out"]
    lines = succeeded(speechllm("simulate", *arguments, cwd=tmp_path)).stdout.splitlines()
    assert lines[1].split()[:3] == ["model", "threshold", "BLEU"] and [line.split()[:2] for line in lines[2:5]] == [
        ["small", threshold] for threshold in ("0", "1000", "offline")
    ]
    waiting, whole = (instances(tmp_path / "out/small" / name) for name in ("threshold-1000", "offline"))
    assert [each["prediction"] for each in waiting] == [each["prediction"] for each in whole]
