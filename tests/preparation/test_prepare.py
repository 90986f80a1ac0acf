"""A prepared folder is complete or does not look so, is the same however it was made, and trains under fairseq."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mustc_corpus import RATE, Corpus, contents, looks_finished, run, small_corpus

from speechllm_plugin.commands import prepare
from speechllm_plugin.data import features
from speechllm_plugin.data.data_config import DataConfig


@pytest.fixture
def corpus(tmp_path):
    return small_corpus(tmp_path / "mustc")


def test_rows_are_the_corpus_with_only_training_filtered(corpus, tmp_path, capsys):
    splits = run(corpus, tmp_path / "out")
    kept = [segment for segment in corpus.segments["train"] if 0.065 <= segment["duration"] <= 30]
    expected = {**corpus.segments, "train": kept}
    for split, utterances in splits.items():
        assert [utterance.tgt_text for utterance in utterances] == [segment["de"] for segment in expected[split]]
        assert [utterance.src_text for utterance in utterances] == [segment["en"] for segment in expected[split]]
        assert {(utterance.src_lang, utterance.tgt_lang) for utterance in utterances} == {("en", "de")}
        assert [utterance.speaker for utterance in utterances] == [f"spk.{segment['talk']}" for segment in expected[split]]
        assert [utterance.n_frames for utterance in utterances] == [features.num_frames(round(s["duration"] * RATE)) for s in expected[split]]
    assert splits["dev"][2].n_frames == 1  # 20 ms: shorter than a window, and still there
    output = capsys.readouterr().out
    assert "train: dropped 1 of 21 rows: shorter than 5 frames" in output
    assert "train: dropped 1 of 21 rows: longer than 3000 frames" in output
    assert "dev: dropped" not in output and "spm_target" in output.splitlines()[-2]


def test_for_asr_the_transcript_is_the_target(corpus, tmp_path):
    for utterances in run(corpus, tmp_path / "out", task="asr").values():
        assert all(utterance.tgt_text == utterance.src_text and utterance.tgt_lang == utterance.src_lang == "en" for utterance in utterances)


def test_stored_and_online_features_are_equal(corpus, tmp_path):
    stored, online = run(corpus, tmp_path / "stored"), run(corpus, tmp_path / "online", "--features", "online")
    roots = [DataConfig.load(tmp_path / name / "config.yaml").audio_root for name in ("stored", "online")]
    for split in corpus.segments:
        for one, other in zip(stored[split], online[split], strict=True):
            rows = features.read(one.audio, roots[0])
            assert len(rows) == one.n_frames == other.n_frames and one.id == other.id
            np.testing.assert_array_equal(rows, features.read(other.audio, roots[1]))


def test_fairseqs_own_reader_takes_the_folder(corpus, tmp_path):
    from fairseq.data import Dictionary, encoders
    from fairseq.data.audio.data_cfg import S2TDataConfig
    from fairseq.data.audio.speech_to_text_dataset import SpeechToTextDatasetCreator

    out = tmp_path / "out"
    splits = run(corpus, out)
    config = S2TDataConfig(out / "config.yaml")
    dictionary = Dictionary.load(str(out / config.vocab_filename))
    assert len(dictionary) == 26
    bpe = encoders.build_bpe(argparse.Namespace(**config.bpe_tokenizer))
    for split, utterances in splits.items():
        data = SpeechToTextDatasetCreator.from_tsv(str(out), config, split, dictionary, None, bpe, split == "train", 1, 1)
        assert len(data) == len(utterances)
        for item, utterance in zip((data[index] for index in range(len(data))), utterances):
            assert item.source.shape == (utterance.n_frames, 80)
            assert bpe.decode(dictionary.string(item.target)) == utterance.tgt_text


def test_workers_do_not_change_the_folder(corpus, tmp_path):
    run(corpus, tmp_path / "one", "--workers", "1")
    run(corpus, tmp_path / "three", "--workers", "3")
    assert contents(tmp_path / "one") == contents(tmp_path / "three")


def test_a_second_run_makes_nothing_again(corpus, tmp_path, capsys):
    run(corpus, tmp_path / "out")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir() if path.suffix in (".zip", ".model")}
    run(corpus, tmp_path / "out")
    assert "train: already prepared" in capsys.readouterr().out
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir() if path.suffix in (".zip", ".model")}


def test_a_killed_run_looks_unfinished_and_a_second_completes_it(tmp_path):
    corpus = Corpus(tmp_path / "mustc")
    for split, num_rows in (("train", 300), ("dev", 3), ("tst-COMMON", 3)):
        corpus.add_talk(split, 1, [0.5] * num_rows)
    corpus.write_texts()
    out = tmp_path / "out"
    # The name keeps the package from importing torch (speechllm_plugin/__init__.py).
    script = tmp_path / "speechllm"
    script.write_text("from speechllm_plugin.commands.cli import main\nif __name__ == '__main__':\n    raise SystemExit(main())\n")
    sizes = "--vocab-size 26 --transcript-vocab-size 26"
    flags = f"prepare mustc --source-lang en --target-lang de --task st {sizes} --workers 2 --root {corpus.root} --out {out}"
    environment = {**os.environ, "PYTHONPATH": str(Path(prepare.__file__).parents[2])}
    process = subprocess.Popen([sys.executable, str(script), *flags.split()], env=environment, stderr=subprocess.DEVNULL)

    def written():
        return sum(path.stat().st_size for path in out.glob(".fbank80.train.zip.*.tmp"))

    deadline = time.monotonic() + 60
    while written() <= 100_000:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not looks_finished(out) and not (out / "fbank80.train.zip").exists()

    run(corpus, out)
    run(corpus, tmp_path / "uninterrupted")
    assert contents(out) == contents(tmp_path / "uninterrupted")


def test_a_run_stopped_after_the_features_keeps_them(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"--vocab-size must be at most \d+ for these training texts, but is 9000") as error:
        run(corpus, out, sizes=("9000", "26"))
    assert not looks_finished(out)
    largest = str(error.value).split("at most ")[1].split()[0]
    run(corpus, out, sizes=(largest, "26"))
    assert "train: already prepared" in capsys.readouterr().out
    assert len((out / "spm_target.txt").read_text().splitlines()) == int(largest) - 4


def test_changed_input_is_prepared_again(corpus, tmp_path):
    run(corpus, tmp_path / "out")
    corpus.segments["dev"][1]["de"] = "anders"
    corpus.add_talk("tst-COMMON", 4, [0.5])
    corpus.segments["tst-COMMON"] = corpus.segments["tst-COMMON"][-1:]
    corpus.write_texts()
    splits = run(corpus, tmp_path / "out")
    assert splits["dev"][1].tgt_text == "anders"
    assert [utterance.n_frames for utterance in splits["tst-COMMON"]] == [48]
