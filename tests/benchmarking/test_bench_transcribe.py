"""`speechllm bench transcribe` on the shipped model and recordings, and on models with random weights."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from speechllm_plugin.benchmarking.hot_word_benchmark import EMPTY_LIST, NO_LIST, made_up_words
from speechllm_plugin.benchmarking.transcription_benchmark import STAGES
from speechllm_plugin.commands.cli import main
from speechllm_plugin.data import manifest
from speechllm_plugin.transcription.speech_model import SpeechModel

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples/digits"
ROWS = [ROOT / "recipes/models" / f"{name}.sh" for name in ("row4_xattn_conformer", "row5.1_dfp_conformer_compressed")]
SMALL = "--encoder-layers 2 --ctc-layer 1 --decoder-layers 1 --encoder-embed-dim 32 --decoder-embed-dim 32 --conv-channels 32"


@pytest.fixture
def bench(tmp_path):
    """What a command found."""

    def run(*arguments):
        file = tmp_path / "times.json"
        assert main(["bench", "transcribe", *map(str, arguments), "--repeats", "1", "--device", "cpu", "--json", str(file)]) == 0
        return json.loads(file.read_text())

    return run


def test_every_stage_of_every_beam_is_timed(bench, capsys):
    found = bench(DIGITS / "dfp", DIGITS / "recordings", "--beam", 1, 3)["measurements"]
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert [(each["model"], each["beam"], each["peak_bytes"]) for each in found] == [("dfp", 1, None), ("dfp", 3, None)]
    for each in found:
        assert set(each["stages"]) == set(STAGES) and each["num_windows"] == 5
        assert each["speed"] == pytest.approx(each["audio_seconds"] / each["seconds"]) and each["num_tokens"] > 5


def test_texts_of_a_given_length_and_a_profile_of_their_search(bench, tmp_path):
    [found] = bench(DIGITS / "dfp", DIGITS / "recordings", "--beam", 2, "--tokens", 7, "--profile", tmp_path / "profiles")["measurements"]
    assert found["num_tokens"] == 7 * found["num_windows"] and found["profile"]["launches"] > 100
    assert (tmp_path / "profiles/dfp-beam-2.txt").read_text().startswith("a search of ")


def test_hot_words_of_a_trained_model(bench):
    [found] = bench(DIGITS / "xattn", DIGITS / "recordings", "--beam", 3, "--hot-words", 20, "--hot-word-bonus", 1e-6)["hot_words"]
    assert found["same_again"] and found["same_empty"] and found["num_changed"] == 0 and list(found["seconds"])[-1] == "20 words"
    assert found["ratio"] == pytest.approx(found["seconds"]["20 words"] / found["seconds"][NO_LIST]) and EMPTY_LIST in found["seconds"]


def test_made_up_words_can_be_written():
    model = SpeechModel(DIGITS / "xattn", "cpu")
    words = made_up_words(model, 30)
    assert len(set(words)) == 30 and all(model.task.target.decode(model.task.target.encode(word, end=[])) == word for word in words)
    few = SimpleNamespace(task=SimpleNamespace(target_dictionary=SimpleNamespace(nspecial=1, symbols=["<pad>", "▁a", ".", "a"])))
    with pytest.raises(ValueError, match="--hot-words 9: of the 2 pieces of letters in the vocabulary 3 words were made: ask for fewer"):
        made_up_words(few, 9)


def test_random_models_and_wavs_are_made_measured_and_kept(bench, tmp_path):
    sizes = ["--model-flags", SMALL, "--vocab-size", 100, "--transcript-vocab-size", 60]
    wavs = ["--seconds", 2, "--recordings", 3, "--keep", tmp_path / "kept", DIGITS / "recordings"]
    found = bench("--model-file", *ROWS, *sizes, "--beam", 2, "--tokens", 6, *wavs)
    assert [each["model"] for each in found["measurements"]] == [path.stem for path in ROWS]
    for each in found["measurements"]:
        assert each["num_windows"] == 3 and each["num_tokens"] == 18 and each["audio_seconds"] == 6
    rows = manifest.read(tmp_path / "kept/test.tsv")
    sounds = [soundfile.read(tmp_path / "kept" / row.audio)[0] for row in rows]
    assert {len(sound) for sound in sounds} == {32000} and {row.n_frames for row in rows} == {198} and (sounds[0] != sounds[1]).any()
    again = bench(tmp_path / "kept" / ROWS[0].stem, tmp_path / "kept/wav", "--beam", 2)["measurements"]
    assert [each["num_windows"] for each in again] == [3]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--repeats", 0], "--repeats must be from 1 to 1,000, but is 0"),
        (["--tokens", 1], "--tokens must be at least 2, but is 1"),
        (["--hot-word-bonus", 1.0], "--hot-word-bonus 1.0 has an effect only with --hot-words: leave it out"),
        (["--hot-words", 0], "--hot-words must be from 1 to 100,000, but is 0"),
        (["--hot-words", 10**12], "--hot-words must be from 1 to 100,000, but is 1000000000000"),
        (["--seconds", 10, "--recordings", 10**12], "--recordings must be at most 36000 of 10 seconds, which are 100 hours, but is 1000000000000"),
        (["--seconds", "nan"], "--seconds must be from 0.1 to 3,600, but is nan"),
        (["--recordings", 3], "--recordings 3 needs their length: give --seconds"),
        (["--vocab-size", 90], "--vocab-size 90 is for models with random weights: give --model-file, or leave it out"),
        (["--keep", "kept"], "--keep kept: nothing is made that could be kept"),
        (["--seconds", 1, "--keep", DIGITS], f"--keep {DIGITS}: is there already"),
        (["--model-file", ROWS[0], ROWS[0], "--beam", 1], "row4_xattn_conformer: two model files have this name"),
        (["--model-file", ROWS[0], "--vocab-size", 9, "--beam", 1], "--vocab-size must be at least 31 for these training texts, but is 9"),
        (["--model-file", "none.sh", "--beam", 1], "none.sh: no such model file"),
    ],
)
def test_arguments_that_mean_nothing_are_an_error(capsys, arguments, message):
    paths = [DIGITS / "recordings"] if "--model-file" in arguments else [DIGITS / "dfp", DIGITS / "recordings"]
    assert main(["bench", "transcribe", *map(str, [*paths, *arguments])]) == 1
    assert message in capsys.readouterr().err


def test_a_model_without_recordings_is_an_error(capsys):
    assert main(["bench", "transcribe", str(DIGITS / "dfp")]) == 1
    assert "a model and recordings are needed, but this is all" in capsys.readouterr().err
