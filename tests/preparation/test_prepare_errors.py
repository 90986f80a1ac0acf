"""What is wrong with a corpus or a command is said with file, row and value, and nothing looks finished then."""

import shutil

import numpy as np
import pytest
import soundfile
from mustc_corpus import RATE, contents, looks_finished, run, small_corpus


@pytest.fixture
def corpus(tmp_path):
    return small_corpus(tmp_path / "mustc")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"task": "asr"}, "--task is asr, but"),
        ({"sizes": ("27", "26")}, "--vocab-size is 27, but"),
        ({"sizes": ("26", "27")}, "--transcript-vocab-size is 27, but"),
        ({"options": ["--features", "online"]}, "--features is online, but"),
    ],
)
def test_other_options_into_the_same_folder_are_an_error(corpus, tmp_path, change, message):
    out = tmp_path / "out"
    run(corpus, out)
    before = contents(out)
    options = change.pop("options", [])
    with pytest.raises(ValueError, match=message):
        run(corpus, out, *options, **change)
    assert contents(out) == before


def test_a_folder_of_somebody_else_is_not_touched(corpus, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/train.tsv").write_text("precious")
    with pytest.raises(ValueError, match="train.tsv: speechllm prepare did not make this manifest"):
        run(corpus, tmp_path / "out")
    assert (tmp_path / "out/train.tsv").read_text() == "precious"


def test_a_split_can_be_added_later_but_training_comes_first(corpus, tmp_path):
    with pytest.raises(ValueError, match="--splits must name train in the first run"):
        run(corpus, tmp_path / "out", "--splits", "dev")
    run(corpus, tmp_path / "out", "--splits", "train", "dev")
    assert set(run(corpus, tmp_path / "out", "--splits", "tst-COMMON")) == {"train", "dev", "tst-COMMON"}


def test_all_bad_audio_of_a_split_is_listed_and_nothing_looks_finished(corpus, tmp_path, capsys):
    segments = corpus.segments["train"]
    segments[1]["duration"] = 100.0
    segments[2]["de"] = ""  # too short to be trained on, so its text does not matter
    corpus.add_talk("train", 6, [0.5, 0.5])
    corpus.add_talk("train", 7, [0.5])
    wav = corpus.folder["train"] / "wav"
    samples = np.zeros(3 * RATE, dtype=np.float32)
    samples[5000] = np.nan
    soundfile.write(wav / "ted_6.wav", samples, RATE, subtype="FLOAT")
    (wav / "ted_7.wav").write_text("no audio")
    corpus.write_texts()
    with pytest.raises(ValueError, match="train: 3 of 24 rows cannot be used") as error:
        run(corpus, tmp_path / "out")
    assert "\n" not in str(error.value)
    listed = [line for line in capsys.readouterr().err.splitlines() if "train.yaml: segment" in line]
    for line, (segment, message) in zip(
        listed,
        [  # position in train.yaml, problem
            (2, "en-de/data/train/wav/ted_1.wav:12800:1600000: the utterance ends at sample 1612800, but the file has"),
            (22, "ted_6.wav:4000:8000: the waveform has NaN or infinite samples"),
            (24, "ted_7.wav: not readable as audio"),
        ],
        strict=True,
    ):
        assert f"segment {segment} (train_ted_" in line and message in line
    assert not looks_finished(tmp_path / "out") and not list((tmp_path / "out").glob("fbank80.train.*"))


@pytest.mark.parametrize(
    "rows, message",
    [
        ({4: {"de": "  "}, 9: {"en": ""}, 10: {"de": "eins\tzwei"}}, "segment 4 (train_ted_1_3): tgt_text is empty, but training needs text"),
        ({9: {"en": ""}}, "segment 9 (train_ted_2_2): src_text is empty, but training needs text; write the text or remove the row"),
        ({10: {"de": "eins\tzwei"}}, "segment 10 (train_ted_2_3): tgt_text must have no tab or line break, but is 'eins\\tzwei'"),
    ],
)
def test_bad_texts_are_an_error_before_any_audio_is_read(corpus, tmp_path, rows, message):
    for number, texts in rows.items():
        corpus.segments["train"][number - 1] |= texts
    corpus.write_texts()
    (corpus.folder["train"] / "wav/ted_1.wav").write_text("no audio")
    with pytest.raises(ValueError) as error:
        run(corpus, tmp_path / "out")
    more = f"; texts of 2 more rows of train cannot be used: {corpus.folder['train']}/txt/train.yaml: segment 9 (train_ted_2_2), "
    assert message in str(error.value) and (more in str(error.value)) == (len(rows) == 3) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_missing_audio_of_any_split_is_an_error_before_any_is_read(corpus, tmp_path):
    (corpus.folder["train"] / "wav/ted_1.wav").write_text("no audio")
    (corpus.folder["train"] / "wav/ted_2.wav").unlink()
    shutil.rmtree(corpus.folder["tst-COMMON"] / "wav")
    with pytest.raises(ValueError) as error:
        run(corpus, tmp_path / "out")
    names = "en-de/data/train/wav/ted_2.wav, en-de/data/tst-COMMON/wav/ted_4.wav"
    assert str(error.value) == f"{corpus.root}: 2 of 4 audio files are not there: {names}; restore them or correct --root"
    assert not (tmp_path / "out").exists()


def test_a_segment_may_pass_the_end_by_rounding_only(corpus, tmp_path):
    corpus.segments["dev"][-1]["duration"] = 0.029
    corpus.write_texts()
    assert run(corpus, tmp_path / "out")["dev"][-1].n_frames == 1
    corpus.segments["dev"][-1]["duration"] = 0.031
    corpus.write_texts()
    with pytest.raises(ValueError, match="dev: 1 of 3 rows cannot be used"):
        run(corpus, tmp_path / "out")
    assert not (tmp_path / "out/dev.tsv").exists()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda txt: (txt / "dev.de").write_text("eins\nzwei\n"), "dev.de: must have one line per segment of dev.yaml (3), but has 2"),
        (lambda txt: (txt / "dev.en").unlink(), "dev.en: no such file"),
        (lambda txt: (txt / "dev.yaml").write_text("- {wav: a.wav"), "dev.yaml: not readable as YAML"),
        (
            lambda txt: (txt / "dev.yaml").write_text("- {offset: 1, wav: a.wav}\n" * 3),
            "dev.yaml: segment 1: the segment must have a field duration",
        ),
        (
            lambda txt: (txt / "dev.yaml").write_text("- {offset: -1, duration: 2, wav: a.wav}\n" * 3),
            "dev.yaml: segment 1: offset must be seconds, not negative, but is '-1'",
        ),
        (lambda txt: (txt / "dev.de").write_bytes("größer\n".encode("latin-1") * 3), "dev.de: must be UTF-8"),
        (lambda txt: shutil.rmtree(txt.parent), "dev: no such split"),
    ],
)
def test_a_corpus_that_is_not_complete_is_an_error_with_the_file(corpus, tmp_path, spoil, message):
    spoil(corpus.folder["dev"] / "txt")
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        run(corpus, tmp_path / "out")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
