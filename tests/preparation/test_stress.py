"""`speechllm stress`: joined utterances are their recordings one behind the other, noise has the ratio that was asked for, texts stay."""

import argparse
import dataclasses
import itertools
import random
import re
import shutil

import numpy as np
import pytest
import soundfile
import yaml
from commands import ROOT, SEARCH, TASK, fairseq, hypotheses, speechllm, succeeded
from digits import bash
from synthetic_runs import train_log

from speechllm_plugin.commands import cli, stress
from speechllm_plugin.data import audio, features, manifest
from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.data.recording import RECORDING_COLUMN
from speechllm_plugin.preparation.noise import Background, mixed, pink_noise
from speechllm_plugin.preparation.stressed_split import groups_of, joined_text

ROUNDING = 2 / 32768  # of 16 bits
SECONDS = [1.5, 0.5, 2.0, 0.7, 1.1, 3.0, 0.9, 0.4]
SPEAKERS = ["a", "b", "a", "b", "a", "b", "a", "b"]


def waveform_of(number):
    """Half a second of speech, then a soft tone of 1 kHz, in turns."""
    time = np.arange(round(SECONDS[number] * SAMPLE_RATE)) / SAMPLE_RATE
    is_loud = time % 1 < 0.5
    return np.where(is_loud, np.random.default_rng(number).uniform(-0.3, 0.3, len(time)), 0.003 * np.sin(2000 * np.pi * time)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """A data folder with a test set of recordings, and a column that fairseq does not know."""
    path, rows = tmp_path / "data", []
    path.mkdir()
    for number, (seconds, speaker) in enumerate(zip(SECONDS, SPEAKERS)):
        soundfile.write(path / f"{number}.wav", waveform_of(number), SAMPLE_RATE, subtype="PCM_16")
        num_frames = features.num_frames(round(seconds * SAMPLE_RATE))
        rows.append(manifest.Utterance(f"u{number}", f"{number}.wav", num_frames, f"t {number}", speaker, f"s {number}", "cs", "en", {"level": "x"}))
    manifest.write(path / "test.tsv", rows)
    (path / "config.yaml").write_text(yaml.safe_dump({"relative_audio_root": "."}))
    return path


def make(folder, *options):
    parser = argparse.ArgumentParser()
    stress.add_arguments(parser)
    stress.run(parser.parse_args(["--data", str(folder), *map(str, options)]))


def read(folder, name):
    return [(row, audio.read(row.audio, folder)) for row in manifest.read(folder / f"{name}.tsv")]


def test_joined_utterances_are_the_recordings_one_behind_the_other(folder):
    make(folder, "--join", 3)
    rows = read(folder, "test-3s")
    members = [[int(number) for number in row.tgt_text.replace("t ", "").split()] for row, _ in rows]
    assert sorted(itertools.chain(*members)) == list(range(8)) and any(len(each) > 1 for each in members)
    for (row, waveform), numbers in zip(rows, members):
        assert numbers == sorted(numbers) and {SPEAKERS[number] for number in numbers} == {row.speaker}
        np.testing.assert_allclose(waveform, np.concatenate([waveform_of(number) for number in numbers]), atol=ROUNDING)
        assert row.n_frames == features.num_frames(len(waveform)) == len(features.read(row.audio, folder))
        assert row.src_text == row.tgt_text.replace("t", "s") and (row.src_lang, row.tgt_lang) == ("cs", "en")
        assert row.extra == {"level": "x", "utterances": str(len(numbers))}
        assert row.id == f"u{numbers[0]}" + (f"+{len(numbers) - 1}" if len(numbers) > 1 else "")


def test_a_joined_utterance_names_no_recording_of_its_own(folder):
    rows = [dataclasses.replace(row, extra={RECORDING_COLUMN: row.audio}) for row in manifest.read(folder / "test.tsv")]
    manifest.write(folder / "stored.tsv", rows)
    make(folder, "--split", "stored", "--join", 3)
    assert all(row.extra.keys() == {"utterances"} for row in manifest.read(folder / "stored-3s.tsv"))


@pytest.mark.parametrize("seconds", [1, 2, 4, 7, 60])
def test_parts_are_as_long_as_whole_utterances_allow(seconds):
    rng = np.random.default_rng(seconds)
    rows = [manifest.Utterance(str(number), "", int(rng.integers(20, 200)), "", speaker=str(number % 3)) for number in range(200)]
    for columns, speakers in ((["speaker"], 3), ([], 1)):
        groups = groups_of(rows, seconds, columns)
        assert sorted((row.id for row in itertools.chain(*groups)), key=int) == [row.id for row in rows]
        lengths = [sum(row.n_frames for row in group) / 100 for group in groups]
        total = sum(row.n_frames for row in rows) / 100
        if seconds >= 4:
            assert np.mean(lengths) == pytest.approx(min(seconds, total / speakers), rel=0.25) and max(lengths) < 1.35 * np.mean(lengths) + 2
        if columns:
            assert all(len({row.speaker for row in group}) == 1 for group in groups)


def test_a_part_is_never_twice_as_long_as_asked_for_where_halves_are_nearer():
    rows = [manifest.Utterance(str(number), "", 900, "") for number in range(5)]  # 45 s
    assert [len(group) for group in groups_of(rows, 30, [])] == [2, 3]
    assert [len(group) for group in groups_of(rows[:4], 30, [])] == [4]


def test_languages_are_never_joined_and_texts_have_blanks_where_their_script_has(folder):
    rows = [manifest.Utterance(str(number), "", 100, "", tgt_lang=language) for number, language in enumerate(["de", "en", "de", "en"])]
    assert [[row.id for row in group] for group in groups_of(rows, 60, [])] == [["0", "2"], ["1", "3"]]
    assert (
        joined_text(["a b.", "", "C"]) == "a b. C"
        and joined_text(["你好。", "再见"]) == "你好。 再见"
        and joined_text(["你好", "再见", "ok"]) == "你好再见 ok"
    )


@pytest.mark.parametrize("noise", stress.NOISES)
def test_noise_has_the_ratio_that_was_asked_for(folder, noise):
    make(folder, "--snr", 20, 0, -5, "--noise", noise)
    heard = {}
    for snr in (20, 0, -5):
        for number, (row, waveform) in enumerate(read(folder, f"test-{noise}{snr}dB")):
            speech = waveform_of(number).astype(np.float64)
            rest = waveform - speech  # nothing is clipped here but at the lowest ratio, where both became quieter
            if snr >= 0 and np.abs(waveform).max() < 0.99:
                ratio = 10 * np.log10(np.mean(speech**2) / np.mean(rest**2))
                assert ratio == pytest.approx(snr, abs=0.1)
                heard.setdefault(number, []).append(rest / np.sqrt(np.mean(rest**2)))
            assert (row.id, row.tgt_text, row.n_frames) == (f"u{number}", f"t {number}", features.num_frames(len(speech)))
            assert row.extra == {"level": "x", "noise": noise, "snr_db": str(snr)}
    pairs = [each for each in heard.values() if len(each) == 2]
    assert len(pairs) > 3
    for one, other in pairs:  # the same noise at every ratio, so that ratios can be compared
        assert np.mean(one * other) > 0.97
    for (one, _), (other, _) in itertools.pairwise(pairs):  # and another one for every utterance
        length = min(len(one), len(other))
        assert noise == "background" or abs(np.mean(one[:length] * other[:length])) < 0.5


def test_what_would_be_clipped_becomes_quieter_and_keeps_its_ratio():
    rng = np.random.default_rng(1)
    speech, noise = rng.uniform(-1, 1, 16000), rng.standard_normal(16000)
    mixture = mixed(speech, noise, 0.0)
    assert np.abs(mixture).max() == pytest.approx(1)
    factors, residual, *_ = np.linalg.lstsq(np.stack([speech, noise], axis=1), mixture, rcond=None)
    powers = np.square(factors) * [np.mean(speech**2), np.mean(noise**2)]
    assert powers[0] == pytest.approx(powers[1], rel=1e-6) and residual < 1e-12


def test_pink_noise_has_the_same_power_in_every_octave():
    power = np.abs(np.fft.rfft(pink_noise(2**17, np.random.default_rng(1)))) ** 2
    octaves = [power[2**k : 2 ** (k + 1)].sum() for k in range(8, 16)]
    assert max(octaves) < 1.2 * min(octaves)


def test_background_is_what_is_quiet_and_no_digital_silence():
    recordings = [np.concatenate([waveform_of(number), np.zeros(8000)]) for number in range(8)]
    noise = Background(recordings)(3 * SAMPLE_RATE, np.random.default_rng(1))
    assert len(noise) == 3 * SAMPLE_RATE
    spectrum = np.abs(np.fft.rfft(noise * np.hanning(len(noise)))) ** 2
    around = slice(3 * 950, 3 * 1050)  # of the tone
    assert spectrum[around].sum() > 0.9 * spectrum.sum()
    levels = np.sqrt(np.square(noise.reshape(-1, 1600)).mean(1))
    assert levels.max() < 1.5 * levels.min()


def test_background_is_as_loud_from_every_recording_and_fades_from_one_to_the_next():
    recordings = [waveform_of(0), waveform_of(5) * 3]  # tones of other loudness
    background = Background(recordings)
    assert [np.sqrt(np.mean(np.square(each))) for each in background.stretches] == pytest.approx([1] * len(background.stretches))
    background.stretches = [np.ones(SAMPLE_RATE // 4)] * 2
    noise = background(SAMPLE_RATE, np.random.default_rng(1))
    assert np.abs(np.diff(noise)).max() < 0.05 and noise.max() == pytest.approx(2**0.5, abs=0.01)  # the power of unrelated sounds stays the same


def test_sets_are_made_once_and_never_replaced(folder, capsys):
    make(folder, "--join", 3, "--snr", 5)
    files = [path for path in folder.rglob("*") if path.is_file()]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    make(folder, "--join", 3, "--snr", 5)
    assert "test-3s.tsv: already there" in capsys.readouterr().out
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()} == before
    lost = next((folder / "test-3s").iterdir())
    lost.unlink()
    make(folder, "--join", 3)
    assert lost.read_bytes() == before[lost][0]
    make(folder, "--join", 3, "--join-by", "level")
    make(folder, "--join", 3, "--join-by")
    assert {row.speaker for row in manifest.read(folder / "test-3s-all.tsv")} == {""}  # as it has both
    assert len(manifest.read(folder / "test-3s-level.tsv")) == len(manifest.read(folder / "test-3s-all.tsv")) == 3
    manifest.write(folder / "test-3s.tsv", manifest.read(folder / "test.tsv"))
    for options in (["--join", 3], ["--snr", 5, "--seed", 2]):
        with pytest.raises(ValueError, match="was made with other options, of other rows, or by somebody else; delete it"):
            make(folder, *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --join SECONDS or --snr DB"),
        (["--join", 0.5], "--join must be seconds from 1 to 3600, but is 0.5"),
        (["--join", "nan"], "--join must be seconds"),
        (["--join", 30, 30], "--join names a value twice: 30 30"),
        (["--snr", "inf"], "--snr must be dB from -100 to 100, but is inf"),
        (["--snr", 5, "--noise-from", "train"], "--noise-from train is where --noise background comes from, but that is pink"),
        (["--snr", 5, "--seed", -1], "--seed must not be negative"),
        (["--join", 30, "--join-by", "accent"], "--join-by accent: the manifest has no such column; it has id audio .* level"),
        (["--join", 30, "--split", "tst"], "no such manifest"),
        (["--snr", 5, "--noise", "background", "--split", "loud"], "loud.tsv: the recordings have 0.00 s of background, but 1 s at least"),
        (["--snr", 5, "--split", "mute"], "u0: is digital silence, to which no noise has a ratio; leave the row out"),
        (["--join", 5, "--split", "stored"], r"u0: the manifest has its features \(a.zip:0:9\), but names no recording"),
    ],
)
def test_what_cannot_be_done_is_an_error(folder, options, message):
    [first, *_] = manifest.read(folder / "test.tsv")
    sounds = {"loud": np.random.default_rng(1).uniform(-1, 1, 8000), "mute": np.zeros(8000)}
    for name, waveform in sounds.items():
        soundfile.write(folder / f"{name}.wav", waveform, SAMPLE_RATE)
    for name in (*sounds, "stored"):
        shown = f"{name}.wav" if name in sounds else "a.zip:0:9"
        manifest.write(folder / f"{name}.tsv", [manifest.Utterance(first.id, shown, 48, "t")])
    before = sorted(folder.rglob("*.tsv"))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        make(folder, *options)
    assert sorted(folder.rglob("*.tsv")) == before


@pytest.mark.end_to_end
def test_models_decode_and_score_it_as_any_test_set(spoken, data, trained, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    succeeded(speechllm("stress", "--data", folder, "--split", "tst-COMMON", "--join", 8, "--snr", 10, cwd=tmp_path))
    for name in ("tst-COMMON-8s", "tst-COMMON-pink10dB"):
        rows = manifest.read(folder / f"{name}.tsv")
        process = succeeded(fairseq("generate", folder, *TASK, "--path", trained.checkpoint, "--gen-subset", name, *SEARCH, cwd=tmp_path))
        assert sorted(hypotheses(process.stdout)) == list(range(len(rows)))
        (tmp_path / "generated.txt").write_text(process.stdout)
        assert (
            cli.main(["score", "--hypotheses", str(tmp_path / "generated.txt"), "--manifest", str(folder / f"{name}.tsv"), "--metrics", "wer"]) == 0
        )
        assert re.search(r"wer", capsys.readouterr().out, re.IGNORECASE)


@pytest.mark.end_to_end
def test_the_recipe_makes_decodes_and_scores_and_goes_on_where_it_ended(data, trained, tmp_path):
    folder, out = tmp_path / "data", tmp_path / "row5"
    shutil.copytree(data, folder)
    out.mkdir()
    shutil.copy(trained.checkpoint, out / "average.pt")
    (out / "train.log").write_text(train_log(random.Random(1), num_epochs=2))
    (out / ".generate-tst-COMMON.done").write_text("--beam 2\n--max-tokens 4000\n--max-len-b 30\n")
    recipe = [ROOT / "recipes/stress.sh", "--training", ROOT / "recipes/training/small_cpu.sh", "--jobs", 2, folder, "tst-COMMON", out, "--"]
    first = succeeded(bash(*recipe, "--join", "6", "--join-by", "--snr", "0", cwd=tmp_path))
    assert {path.name for path in out.glob("score-*.json")} == {"score-tst-COMMON-6s-all.json", "score-tst-COMMON-pink0dB.json"}
    assert len(re.findall(r"^experiment .*WER", first.stdout, re.MULTILINE)) == 2
    # As the test set was decoded, with more of its tokens only where it is longer.
    asked = {name: (out / f".generate-tst-COMMON-{name}.done").read_text().split() for name in ("6s-all", "pink0dB")}
    assert asked["pink0dB"] == "--beam 2 --max-tokens 4000 --max-len-b 30".split()
    [limit] = [int(after) for before, after in itertools.pairwise(asked["6s-all"][6:]) if before == "--max-len-b"]
    longest = max(row.n_frames for row in manifest.read(folder / "tst-COMMON-6s-all.tsv"))
    assert asked["6s-all"][:6] == asked["pink0dB"] and limit == 200 + 20 * longest // 100
    again = succeeded(bash(*recipe, "--join", "6", "--join-by", "--snr", "0", cwd=tmp_path))
    assert again.stdout.count("(done before)") == 4 and again.stdout.count("already there") == 2
    refused = bash(recipe[0], "--jobs", 0, *recipe[5:], "--snr", 0, cwd=tmp_path)
    assert refused.returncode == 2 and "--jobs must be a positive number, but is 0" in refused.stderr
