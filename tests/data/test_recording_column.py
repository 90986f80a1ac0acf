"""Every row of a prepared folder leads to its sound, whatever its features are; fairseq and older folders do without."""

import argparse
import re
import shutil

import numpy as np
import pytest
import soundfile
import yaml
from covost_corpus import CommonVoice
from mustc_corpus import RATE, run, small_corpus
from prepare_command import manifests_in, prepare

from speechllm_plugin.data import audio, features, manifest
from speechllm_plugin.data.data_config import DataConfig
from speechllm_plugin.data.recording import recording_of
from speechllm_plugin.distillation import data_folder


@pytest.fixture
def corpus(tmp_path):
    return small_corpus(tmp_path / "mustc")


def sounds(folder):
    """Manifest -> (utterance, waveform) of each row."""
    config = DataConfig.load(folder / "config.yaml")
    return {
        name: [(utterance, audio.read(*recording_of(utterance, config))) for utterance in utterances]
        for name, utterances in manifests_in(folder).items()
    }


@pytest.mark.parametrize("kind", ["stored", "online"])
def test_segments_of_talks_lead_to_their_samples(corpus, tmp_path, kind):
    out = tmp_path / "out"
    run(corpus, out, "--features", kind)
    expected = {split: [s for s in segments if split != "train" or 0.065 <= s["duration"] <= 30] for split, segments in corpus.segments.items()}
    for split, rows in sounds(out).items():
        for (utterance, waveform), segment in zip(rows, expected[split], strict=True):
            start, length = round(segment["offset"] * RATE), round(segment["duration"] * RATE)
            talk = audio.read(f"en-de/data/{split}/wav/ted_{segment['talk']}.wav", corpus.root)
            np.testing.assert_array_equal(waveform, talk[start : start + length])
            root = DataConfig.load(out / "config.yaml").audio_root
            np.testing.assert_array_equal(features.read(utterance.audio, root), features.filterbanks(waveform))


def test_times_are_at_the_rate_of_the_file_and_the_column_starts_at_the_root(tmp_path):
    def texts(number):
        return "one two", "eins zwei"

    corpus = CommonVoice(tmp_path / "cv", "en", ("de",), ["train", "train", "dev", "test"], texts).write()
    flags = ["--source-lang", "en", "--target-lang", "de", "--task", "joint", "--vocab-size", 17, "--transcript-vocab-size", 11]
    prepare("covost2", corpus.root, tmp_path / "out", *flags)
    for name, rows in sounds(tmp_path / "out").items():
        for utterance, waveform in rows:
            assert utterance.extra["recording"] == f"en/clips/{utterance.id.removesuffix('_asr')}.mp3", name
            assert list(utterance.extra) == ["accent", "age", "gender", "recording"] and features.num_frames(len(waveform)) == utterance.n_frames
    waveform = np.random.default_rng(0).uniform(-0.3, 0.3, 44100)
    (tmp_path / "own").mkdir()
    soundfile.write(tmp_path / "own/talk.flac", waveform, 44100)
    for split in ("train", "dev", "test"):
        (tmp_path / f"own/{split}.tsv").write_text("audio\toffset\tduration\ttgt_text\ttgt_lang\ntalk.flac\t0.5\t0.25\teins zwei\tde\n")
    prepare("tsv", tmp_path / "own", tmp_path / "mine", "--task", "st", "--vocab-size", 12)
    assert manifests_in(tmp_path / "mine")["train"][0].extra == {"recording": "talk.flac:22050:11025"}


def test_fairseqs_own_reader_takes_the_column_and_the_setting(corpus, tmp_path):
    from fairseq.data import Dictionary, encoders
    from fairseq.data.audio.data_cfg import S2TDataConfig
    from fairseq.data.audio.speech_to_text_dataset import SpeechToTextDatasetCreator

    utterances = run(corpus, tmp_path / "out")["train"]
    assert yaml.safe_load((tmp_path / "out/config.yaml").read_text())["recording_root"] == str(corpus.root)
    config = S2TDataConfig(tmp_path / "out/config.yaml")
    dictionary = Dictionary.load(str(tmp_path / "out" / config.vocab_filename))
    bpe = encoders.build_bpe(argparse.Namespace(**config.bpe_tokenizer))
    data = SpeechToTextDatasetCreator.from_tsv(str(tmp_path / "out"), config, "train", dictionary, None, bpe, True, 1, 1)
    assert [data[index].source.shape[0] for index in range(len(data))] == [utterance.n_frames for utterance in utterances]


def test_a_distilled_folder_elsewhere_still_leads_to_the_sound(corpus, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run(corpus, out)
    config, rows = DataConfig.load(out / "config.yaml"), manifest.read(out / "train.tsv")
    (tmp_path / "far/away").mkdir(parents=True)
    data_folder.write(config, tmp_path / "far/away/distilled", "train", rows, {}, {})
    monkeypatch.chdir(tmp_path / "far")
    for split, expected in sounds(out).items():
        for (_, one), (_, other) in zip(sounds(tmp_path / "far/away/distilled")[split], expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_folders_that_do_not_say_it_lead_nowhere_and_stay_readable(corpus, tmp_path):
    out = tmp_path / "out"
    run(corpus, out)
    for path in out.glob("*.tsv"):
        rows = [line.split("\t")[:-1] for line in path.read_text().splitlines()]
        path.write_text("".join("\t".join(row) + "\n" for row in rows))
    config = DataConfig.load(out / "config.yaml")
    for utterances in manifests_in(out).values():
        assert utterances and all(recording_of(utterance, config) is None for utterance in utterances)
    # And as before there was the setting: a column of this name was the user's.
    text = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(re.sub("recording_root: .*\n", "", text))
    config = DataConfig.load(out / "config.yaml")
    assert config.recording_root is None
    for source, expected in (("a.zip:10:20", None), ("a.npy", None), ("a.wav:1:2", ("a.wav:1:2", config.audio_root))):
        assert recording_of(manifest.Utterance("u", source, 1, "", extra={"recording": "studio 5"}), config) == expected


def test_a_corpus_that_moved_is_an_error_with_the_path(corpus, tmp_path):
    utterance = run(corpus, tmp_path / "out")["dev"][0]
    shutil.move(corpus.root, tmp_path / "moved")
    source, root = recording_of(utterance, DataConfig.load(tmp_path / "out/config.yaml"))
    with pytest.raises(ValueError, match="mustc/en-de/data/dev/wav/ted_3.wav: no such audio file"):
        audio.read(source, root)


@pytest.mark.parametrize("kind, fails", [("stored", True), ("online", False)])
def test_a_column_of_the_corpus_is_never_replaced(corpus, tmp_path, kind, fails):
    root = tmp_path / "own"
    shutil.copytree(corpus.root / "en-de/data/train/wav", root)
    for split in ("train", "dev", "test"):
        (root / f"{split}.tsv").write_text("audio\ttgt_text\ttgt_lang\trecording\nted_2.wav\teins zwei\tde\tstudio 5\n")
    flags = ["--task", "st", "--vocab-size", 12, "--features", kind]
    if fails:
        with pytest.raises(
            ValueError, match=r"train.tsv:2: the column recording is written by speechllm prepare; give that of the corpus another name"
        ):
            prepare("tsv", root, tmp_path / "out", *flags)
        assert not (tmp_path / "out").exists()
    else:
        prepare("tsv", root, tmp_path / "out", *flags)
        assert manifests_in(tmp_path / "out")["train"][0].extra == {"recording": "studio 5"}
