"""`speechllm transcribe` as a user gives it, on the shipped model and recordings."""

import io
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from speechllm_plugin.commands.cli import main

DIGITS = Path(__file__).resolve().parents[2] / "examples/digits"
TEXTS = dict(line.split("\t") for line in (DIGITS / "recordings/texts.tsv").read_text().splitlines())
FIRST, SECOND = [DIGITS / "recordings" / name for name in list(TEXTS)[:2]]


@pytest.fixture
def transcribe(capsys):
    """The status, the output and the last error line of a command."""

    def run(*arguments, model=DIGITS / "dfp"):
        status = main(["transcribe", str(model), "--device", "cpu", *map(str, arguments)])
        captured = capsys.readouterr()
        errors = [line for line in captured.err.splitlines() if line.startswith("speechllm: error")]
        assert len(errors) == status
        return status, captured.out, "".join(errors)

    return run


def test_one_recording_is_its_text_and_several_have_their_names(transcribe):
    assert transcribe(FIRST) == (0, f"{TEXTS[FIRST.name]}\n", "")
    assert transcribe(SECOND, FIRST) == (0, f"{SECOND}\t{TEXTS[SECOND.name]}\n{FIRST}\t{TEXTS[FIRST.name]}\n", "")
    _, out, _ = transcribe(DIGITS / "recordings", "--format", "json", "--n-best", 2)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(Path(line["file"]).name, line["text"]) for line in lines] == sorted(TEXTS.items())
    assert all(len(line["n_best"]) == 2 for line in lines)


def test_standard_input(transcribe, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(FIRST.read_bytes())))
    assert transcribe("-", "--format", "tsv")[1].splitlines()[1].split("\t")[3] == TEXTS[FIRST.name]


def test_a_folder_goes_on_where_it_stopped(transcribe, tmp_path):
    (tmp_path / "in/sub").mkdir(parents=True)
    for name in ("a.flac", "sub/b.flac", "sub/notes.md"):
        shutil.copyfile(FIRST, tmp_path / "in" / name)
    arguments = [tmp_path / "in", "--output", tmp_path / "out", "--format", "srt", "--word-timestamps"]
    assert transcribe(*arguments)[:2] == (0, f"{tmp_path / 'out'}: 2 of 2 recordings, 0 of them made before\n")
    assert (tmp_path / "out/a.srt").read_text().count(" --> ") == len(TEXTS[FIRST.name].split())
    (tmp_path / "out/a.srt").write_text("kept")
    (tmp_path / "out/sub/b.srt").unlink()
    assert transcribe(*arguments)[1].endswith("2 of 2 recordings, 1 of them made before\n")
    assert (tmp_path / "out/a.srt").read_text() == "kept" and (tmp_path / "out/sub/b.srt").is_file()
    status, _, error = transcribe(*arguments, "--beam", 1)
    assert status == 1 and "was begun with beam 5, but now it is 1" in error
    shutil.copyfile(FIRST, tmp_path / "in/a.wav")
    assert "would both become" in transcribe(*arguments)[2]


def test_a_text_of_another_recording_is_not_taken_for_this_ones(transcribe, tmp_path, monkeypatch):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copyfile(FIRST, tmp_path / folder / "a.flac")
    arguments = ["--output", tmp_path / "out", "--beam", 1]
    assert transcribe(tmp_path / "one", *arguments)[0] == 0
    status, _, error = transcribe(tmp_path / "two", *arguments)
    assert status == 1 and f"out/a.txt is the text of {tmp_path / 'one/a.flac'}, not of {tmp_path / 'two/a.flac'}; give another folder" in error
    monkeypatch.chdir(tmp_path / "one")
    with open(tmp_path / "out/.transcribe.sources.jsonl", "a") as file:
        file.write('\n["b", "/cut]')
    assert transcribe("a.flac", *arguments)[1].endswith("1 of 1 recordings, 1 of them made before\n")
    (tmp_path / "one").rename(tmp_path / "moved")
    assert transcribe(tmp_path / "moved", *arguments)[1].endswith("1 of 1 recordings, 1 of them made before\n")


def test_what_cannot_be_read_is_named_and_stops_nothing(transcribe, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "broken.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (tmp_path / "cut.flac").write_bytes(FIRST.read_bytes()[:2000])
    status, out, error = transcribe(tmp_path / "broken.m4a", FIRST, tmp_path / "cut.flac", tmp_path / "none.wav")
    assert out == f"{FIRST}\t{TEXTS[FIRST.name]}\n"
    assert "3 of 4 recordings could not be read" in error
    for part in ("broken.m4a: not a format that libsndfile reads, and there is no ffmpeg", "cut.flac: ", "none.wav: no such recording"):
        assert part in error


def test_no_text_is_taken_for_that_of_a_recording_which_changed_or_was_piped(transcribe, tmp_path, monkeypatch):
    recording, arguments = tmp_path / "a.flac", ["--output", tmp_path / "out", "--beam", 1]
    for source, made_before in ((FIRST, 0), (SECOND, 0), (SECOND, 1)):
        if not made_before:
            recording.write_bytes(source.read_bytes())
        assert transcribe(recording, *arguments)[1].endswith(f"1 of 1 recordings, {made_before} of them made before\n")
        assert (tmp_path / "out/a.txt").read_text() == f"{TEXTS[source.name]}\n"
    (tmp_path / "out/b.txt").write_text("a reference")
    recording.rename(tmp_path / "b.flac")
    assert "out/b.txt is there, and was not written by this command" in transcribe(tmp_path / "b.flac", *arguments)[2]
    for message in ("", "out/stdin.txt is the text of an earlier standard input"):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(FIRST.read_bytes())))
        status, _, error = transcribe("-", *arguments)
        assert status == bool(message) and message in error


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_ffmpeg_reads_what_libsndfile_does_not_whatever_its_name(transcribe, tmp_path, monkeypatch):
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(FIRST), str(tmp_path / "a.m4a")], check=True)
    monkeypatch.chdir(tmp_path)
    for name in ("12:30 a.m4a", "-i.m4a"):
        Path(name).write_bytes(Path("a.m4a").read_bytes())
        assert transcribe("--", name)[1] == f"{TEXTS[FIRST.name]}\n"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--language", "de"], "--language de: "),
        (["--beam", "0"], "--beam must be positive, but is 0"),
        ([SECOND, "--format", "srt"], "--format srt of 2 recordings needs files of its own: give --output DIR"),
        ([DIGITS / "dfp"], "no recording in this folder"),
        (["--word-timestamps"], "--word-timestamps: text alone has no times; give --format json, tsv, srt or vtt"),
        (["--n-best", 2, "--format", "tsv"], "--n-best 2: --format tsv has one text of each recording; give --format json"),
        (["--device", "tpu"], "--device must be cpu, cuda or cuda:N"),
    ],
)
def test_what_cannot_be_done_is_one_line(transcribe, arguments, message):
    status, out, error = transcribe(FIRST, *arguments)
    assert (status, out) == (1, "") and message in error


def test_a_damaged_model_is_one_line(transcribe, tmp_path):
    shutil.copytree(DIGITS / "dfp", tmp_path / "model")
    (tmp_path / "model/spm_target.txt").unlink()
    assert "spm_target.txt: this file of the model is missing" in transcribe(FIRST, model=tmp_path / "model")[2]
    assert "no model folder" in transcribe(FIRST, model=DIGITS / "recordings")[2]


def test_a_stereo_file_is_read(transcribe, tmp_path):
    samples, rate = soundfile.read(FIRST)
    soundfile.write(tmp_path / "b.wav", [[sample, sample] for sample in samples], rate, subtype="FLOAT")
    assert transcribe(tmp_path / "b.wav")[1] == f"{TEXTS[FIRST.name]}\n"
