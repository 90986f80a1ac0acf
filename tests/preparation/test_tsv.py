"""Own corpora: any format, segments or whole files, languages from columns or flags, with transcripts, translations or both."""

import shutil

import numpy as np
import pytest
import soundfile
from prepare_command import manifests_in, prepare

from speechllm_plugin.data import audio, features
from speechllm_plugin.data.data_config import DataConfig

RATE = 24000
FORMATS = {"wav": "PCM_16", "flac": "PCM_16", "mp3": "MPEG_LAYER_III", "ogg": "VORBIS", "opus": "OPUS"}
SPLITS = {"train": 10, "dev": 3, "test": 2}
SIZES = ("--vocab-size", 13, "--transcript-vocab-size", 13)


def row(split, number):
    texts = {"src_text": f'one "{number % 2}"', "tgt_text": f"eins {number % 3}"}
    return {"audio": f"talks/{split}.wav", "offset": f"{number * 0.3:.2f}", "duration": "0.25", **texts}


@pytest.fixture
def corpus(tmp_path):
    """Rows by split, to be changed and written."""
    (tmp_path / "own/talks").mkdir(parents=True)
    for split, size in SPLITS.items():
        soundfile.write(tmp_path / f"own/talks/{split}.wav", np.random.default_rng(size).uniform(-0.3, 0.3, round(size * 0.3 * RATE)), RATE)
    return {split: [row(split, number) for number in range(size)] for split, size in SPLITS.items()}


def write(corpus, root):
    for split, rows in corpus.items():
        lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
        (root / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(corpus, tmp_path, *options, languages=("--source-lang", "en", "--target-lang", "de"), task="st", sizes=SIZES):
    write(corpus, tmp_path / "own")
    prepare("tsv", tmp_path / "own", tmp_path / "out", "--task", task, *languages, *sizes, *options)
    return manifests_in(tmp_path / "out")


def without(corpus, *columns):
    return {split: [{column: value for column, value in row.items() if column not in columns} for row in rows] for split, rows in corpus.items()}


def with_columns(corpus, **columns):
    """More columns, whose values are functions of the row's number."""
    return {
        split: [row | {column: value(number) for column, value in columns.items()} for number, row in enumerate(rows)]
        for split, rows in corpus.items()
    }


@pytest.mark.parametrize("extension", FORMATS)
def test_segments_of_any_format_are_these_samples_of_the_file(corpus, tmp_path, extension):
    times = [("", ""), ("0.7", ""), ("1.1", "0.4"), ("0", "0.3"), ("2.03", "0.37")]
    path, rate = f"a.{extension}", 48000 if extension == "opus" else RATE
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 3 * rate)
    container = {"opus": "OGG"}.get(extension, extension.upper())
    soundfile.write(tmp_path / "own" / path, noise, rate, format=container, subtype=FORMATS[extension])
    corpus["dev"] = [{**row("dev", number), "audio": path, "offset": start, "duration": length} for number, (start, length) in enumerate(times)]
    utterances = run(corpus, tmp_path)["dev"]
    whole, _ = soundfile.read(tmp_path / "own" / path, dtype="float32")
    for utterance, (start, length) in zip(utterances, times, strict=True):
        first = round(float(start or 0) * rate)
        last = first + round(float(length) * rate) if length else len(whole)
        soundfile.write(tmp_path / "part.wav", whole[first:last], rate, subtype="FLOAT")
        expected = features.filterbanks(audio.read("part.wav", tmp_path))
        assert len(expected) == utterance.n_frames
        np.testing.assert_allclose(features.read(utterance.audio, tmp_path / "out"), expected, atol=1e-3)


def test_columns_that_are_absent_are_made_and_others_are_carried(corpus, tmp_path):
    manifests = run(with_columns(corpus, accent=lambda number: f"accent {number}", n_frames=lambda number: "7"), tmp_path)
    for split, utterances in manifests.items():
        assert [utterance.id for utterance in utterances] == [f"{split}_{number}" for number in range(1, SPLITS[split] + 1)]
        assert [utterance.extra["accent"] for utterance in utterances] == [f"accent {number}" for number in range(SPLITS[split])]
        assert all(list(utterance.extra) == ["accent", "recording"] for utterance in utterances)
        assert {(utterance.src_lang, utterance.tgt_lang, utterance.speaker) for utterance in utterances} == {("en", "de", "")}
        assert [(utterance.src_text, utterance.tgt_text) for utterance in utterances] == [(row["src_text"], row["tgt_text"]) for row in corpus[split]]
        assert all(utterance.n_frames == 23 for utterance in utterances)
    rows = with_columns(corpus, id=lambda number: f"u{number}", speaker=lambda number: f"s{number}")
    for split, utterances in run(rows, tmp_path).items():
        assert [(utterance.id, utterance.speaker) for utterance in utterances] == [(f"u{number}", f"s{number}") for number in range(SPLITS[split])]


def test_the_languages_of_the_rows_are_the_tags(corpus, tmp_path):
    rows = with_columns(corpus, tgt_lang=lambda number: ["de", "no"][number % 2])
    manifests = run(rows, tmp_path, languages=("--source-lang", "en"), sizes=("--vocab-size", 15, "--transcript-vocab-size", 13))
    for split, utterances in manifests.items():
        assert [utterance.tgt_lang for utterance in utterances] == [row["tgt_lang"] for row in rows[split]]
        assert {utterance.src_lang for utterance in utterances} == {"en"}
    assert (tmp_path / "out/spm_target.txt").read_text().startswith("<lang:de> 1\n<lang:no> 1\n")
    assert DataConfig.load(tmp_path / "out/config.yaml").prepend_tgt_lang_tag


def test_translations_alone_make_a_folder_without_transcripts(corpus, tmp_path):
    manifests = run(without(corpus, "src_text"), tmp_path, languages=("--target-lang", "de"), sizes=SIZES[:2])
    config = DataConfig.load(tmp_path / "out/config.yaml")
    assert config.transcript_vocab_filename is None and config.transcript_bpe_tokenizer is None and config.bpe_tokenizer is not None
    assert not list((tmp_path / "out").glob("spm_transcript*"))
    assert {(utterance.src_text, utterance.src_lang) for utterances in manifests.values() for utterance in utterances} == {("", "")}
    with pytest.raises(ValueError, match="--transcript-vocab-size needs transcripts, but .*own has no src_text: leave it out"):
        run(without(corpus, "src_text"), tmp_path, languages=("--target-lang", "de"))


def test_transcripts_alone_are_enough_for_asr(corpus, tmp_path):
    manifests = run(without(corpus, "tgt_text"), tmp_path, languages=("--source-lang", "en"), task="asr", sizes=SIZES)
    assert {(utterance.tgt_text, utterance.tgt_lang) for utterance in manifests["train"]} == {('one "0"', "en"), ('one "1"', "en")}


def of_row(split, number, **values):
    def spoil(corpus):
        corpus[split][number] |= values

    return spoil


def whole(*columns, **added):
    """A change of every row of every split: columns taken away and added."""

    def spoil(corpus):
        for rows in corpus.values():
            for row in rows:
                for column in columns:
                    del row[column]
                row |= added

    return spoil


@pytest.mark.parametrize(
    "spoil, options, message",
    [
        (whole("audio"), {}, "train.tsv:1: column 'audio' is missing; the header must have audio, separated by tabs, but has 'offset'"),
        (of_row("dev", 1, audio=""), {}, "dev.tsv:3: audio must not be empty"),
        (of_row("dev", 1, audio="talks/gone.wav"), {}, "own: 1 of 4 audio files are not there: talks/gone.wav"),
        (of_row("test", 0, offset="soon"), {}, "test.tsv:2: offset must be seconds, not negative, but is 'soon'"),
        (of_row("test", 0, duration="0"), {}, "test.tsv:2: duration must be seconds, positive, but is '0'"),
        (of_row("test", 0, duration="inf"), {}, "test.tsv:2: duration must be seconds, positive, but is 'inf'"),
        (of_row("test", 0, duration="nan"), {}, "test.tsv:2: duration must be seconds, positive, but is 'nan'"),
        (of_row("test", 0, duration="-0.5"), {}, "test.tsv:2: duration must be seconds, positive, but is '-0.5'"),
        (of_row("test", 0, duration="9" * 400), {}, "test.tsv:2: duration must be seconds, positive, but is '9999"),
        (of_row("test", 0, offset="1e308"), {}, "test.tsv:2: offset must be seconds, not negative, but is '1e308'"),
        (of_row("test", 0, offset="-1e-9"), {}, "test.tsv:2: offset must be seconds, not negative, but is '-1e-9'"),
        (whole(id="x" * 70_000), {}, "train.tsv:2: id must have at most 1000 characters, but has 70000: 'xxxx"),
        (of_row("dev", 1, audio="/etc/passwd"), {}, "dev.tsv:3: the audio file '/etc/passwd' is outside --root; correct the corpus, or give --allow"),
        (of_row("dev", 1, audio="talks/../../x.wav"), {}, "dev.tsv:3: the audio file 'talks/../../x.wav' is outside --root; "),
        (whole(audio=".."), {}, "train.tsv:2: the audio file '..' is outside --root, and so are those of 14 more rows; "),
        (of_row("dev", 1, audio="talks/empty.wav"), {}, "own: 1 of 4 audio files are empty (0 bytes): talks/empty.wav; restore them"),
        (
            of_row("test", 0, more="x"),
            {},
            "test.tsv:3: the row must have 6 fields as the header has, but has 5; fields are separated by one tab ('talks/test.wav' ...)",
        ),
        (whole("tgt_text"), {}, "train: --task st needs tgt_text, but no row has a text"),
        (whole("src_text"), {"task": "asr"}, "train: --task asr needs src_text, but no row has a text"),
        (of_row("train", 3, tgt_text=" "), {}, "train.tsv:5 (train_4): tgt_text is empty, but training needs text"),
        (of_row("train", 3, src_text=""), {}, "train.tsv:5 (train_4): src_text is empty, but training needs text"),
        (whole(), {"languages": ()}, "train.tsv:2: the language of a target must be a code such as de or zh-CN, but is ''"),
        (whole(), {"languages": ("--target-lang", "de"), "task": "asr"}, "train.tsv:2: the language of a target must be a code"),
        (whole(), {"languages": ("--target-lang", "de"), "task": "joint"}, "train.tsv:2: the language of a target must be a code"),
        (whole(src_lang="fr"), {}, "train.tsv:2: src_lang is 'fr', but --source-lang is en: leave out the flag or correct the row"),
        (whole(tgt_lang="de"), {"languages": ("--target-lang", "de", "fr")}, "--target-lang must be one language at most for tsv, but is de fr"),
        (whole(id="same"), {}, "train.tsv:3: id must be unique, but 'same' also stands at"),
        (whole(id=""), {}, "train.tsv:2: id must not be empty; fill it in or remove the row"),
        (lambda corpus: corpus.pop("dev"), {}, "dev.tsv: no such file"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_before_anything_is_written(corpus, tmp_path, spoil, options, message):
    (tmp_path / "own/talks/empty.wav").touch()
    spoil(corpus)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        run(corpus, tmp_path, **options)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_files_outside_the_root_are_taken_with_the_flag_and_links_without(corpus, tmp_path):
    (tmp_path / "own/talks").rename(tmp_path / "elsewhere")
    (tmp_path / "own/talks").symlink_to(tmp_path / "elsewhere")
    expected = run(corpus, tmp_path)
    for split, rows in corpus.items():
        for row in rows:
            row["audio"] = str(tmp_path / "elsewhere" / f"{split}.wav") if split == "dev" else f"x/../../elsewhere/{split}.wav"
    (tmp_path / "own/x").mkdir()
    with pytest.raises(ValueError, match="is outside --root"):
        run(corpus, tmp_path)
    shutil.rmtree(tmp_path / "out")
    for split, utterances in run(corpus, tmp_path, "--allow-outside-root").items():
        assert [utterance.n_frames for utterance in utterances] == [utterance.n_frames for utterance in expected[split]]


@pytest.mark.parametrize("allow", [[], ["--allow-outside-root"]])
def test_columns_of_a_table_cannot_name_other_rows_sound(corpus, tmp_path, allow):
    corpus["dev"][1]["audio"] = "talks/dev.wav:0:100"
    with pytest.raises(ValueError, match="1 of 4 audio files are not there: talks/dev.wav:0:100"):
        run(corpus, tmp_path, *allow)


def test_a_language_that_is_not_trained_on_is_an_error(corpus, tmp_path):
    rows = with_columns(corpus, tgt_lang=lambda number: "de")
    rows["dev"][1]["tgt_lang"] = "fr"
    with pytest.raises(ValueError, match="dev.tsv:3: train has no target in fr, only in de; correct the language or remove the row"):
        run(rows, tmp_path, languages=())


def test_a_segment_behind_its_file_is_named(corpus, tmp_path, capsys):
    corpus["dev"][2]["offset"] = "9.5"
    with pytest.raises(ValueError, match="dev: 1 of 3 rows cannot be used"):
        run(corpus, tmp_path)
    expected = "dev.tsv:4 (dev_3): talks/dev.wav: the utterance starts at 9.5 s, but the file has 0.900 s; correct its offset"
    assert expected in capsys.readouterr().err


def test_a_header_without_rows_and_text_that_is_not_utf8_are_errors(corpus, tmp_path):
    write(corpus, tmp_path / "own")
    header = b"audio\ttgt_text\n"
    for rows, message in ((b"", "test.tsv: must have rows, but has only a header"), (b"\xff\t\xff\n", "test.tsv: must be UTF-8")):
        (tmp_path / "own/test.tsv").write_bytes(header + rows)
        with pytest.raises(ValueError, match=message):
            prepare("tsv", tmp_path / "own", tmp_path / "out", "--task", "st", "--target-lang", "de")
