"""CoVoST 2: rows are the corpus's, what Common Voice lacks is reported, and languages have whatever code."""

import collections
import zipfile

import pytest
import sentencepiece
from covost_corpus import CommonVoice, clip_name
from prepare_command import manifests_in, prepare

from speechllm_plugin.data import audio, features
from speechllm_plugin.data.data_config import DataConfig

SPLITS = ["train"] * 5 + ["train_covost"] * 2 + ["dev"] * 3 + ["test"] * 2 + ["dev_covost"]
NAMES = {"train": ("train", "train_covost"), "dev": ("dev",), "test": ("test",)}


def english(number):
    return f'he said "{number}" \\ there', f'er sagte „{number}" dort', f"il a dit {number}"


@pytest.fixture
def corpus(tmp_path):
    return CommonVoice(tmp_path / "cv", "en", ("de", "fr"), SPLITS, english)


def run(corpus, out, *options, task="st", targets=("de",), sizes=(24, 24)):
    sizes = ["--vocab-size", sizes[0], "--transcript-vocab-size", sizes[1]]
    prepare("covost2", corpus.root, out, "--source-lang", "en", "--target-lang", *targets, "--task", task, *sizes, *options)
    return manifests_in(out)


def test_rows_are_the_corpus_with_what_is_known_of_the_speakers(corpus, tmp_path):
    manifests = run(corpus.write(), tmp_path / "out", "--features", "online")
    assert manifests.keys() == NAMES.keys()
    for split, utterances in manifests.items():
        numbers = [number for number, name in enumerate(SPLITS) if name in NAMES[split]]
        for number, utterance in zip(numbers, utterances, strict=True):
            assert (utterance.src_text, utterance.tgt_text) == english(number)[:2]
            assert (utterance.id, utterance.speaker) == (f"common_voice_en_{number}", f"client {number % 4}")
            assert utterance.extra == {name: f"{name} {number % 3}" for name in ("accent", "age", "gender")}
            waveform = audio.read(f"en/clips/{clip_name('en', number)}", corpus.root)
            assert utterance.n_frames == features.num_frames(len(waveform)) and abs(len(waveform) / 16000 - 0.2 - 0.05 * (number % 5)) < 0.12


def test_rows_that_common_voice_lacks_are_named(corpus, tmp_path, capsys):
    lacking = [0, 1, 4, 5, 6, 8]
    corpus.voices = [voice for number, voice in enumerate(corpus.voices) if number not in lacking]
    manifests = run(corpus.write(), tmp_path / "out", sizes=(19, 18))
    path, output = corpus.root / "en/validated.tsv", capsys.readouterr().out
    names = ", ".join(clip_name("en", number) for number in lacking[:3])
    assert f"train: left out 5 of 7 rows that {path} does not have: {names} and 2 more\n" in output
    assert f"dev: left out 1 of 3 rows that {path} does not have: {clip_name('en', 8)}\n" in output and "test: left out" not in output
    for split, clips in {"train": lacking[:5], "dev": lacking[5:]}.items():
        assert (tmp_path / f"out/missing_{split}.txt").read_text().split() == [f"en/clips/{clip_name('en', number)}" for number in clips]
    assert [utterance.id for utterance in manifests["train"]] == ["common_voice_en_2", "common_voice_en_3"]
    assert not (tmp_path / "out/missing_test.txt").exists()


def empty_mp3():
    """A clip with a tag and no sound."""
    return b"ID3\x04\0\0\0\0\0\x05" + bytes(5)


@pytest.mark.parametrize("features_kind", ["stored", "online"])
def test_empty_clips_are_left_out_counted_and_listed_in_all_splits_at_once(corpus, tmp_path, capsys, features_kind):
    clips = corpus.write().root / "en/clips"
    for number in (1, 7, 10):
        (clips / clip_name("en", number)).write_bytes(b"")
    for number in (3, 8):
        (clips / clip_name("en", number)).write_bytes(empty_mp3())
    run_check = ["--source-lang", "en", "--target-lang", "de", "--task", "st", "--check"]
    prepare("covost2", corpus.root, tmp_path / "none", *run_check)
    output = capsys.readouterr().out
    for split, number, rows in (("train", 1, 7), ("dev", 7, 3), ("test", 10, 2)):
        assert f"{split}: left out 1 of {rows} rows that are empty (0 bytes): {clip_name('en', number)}\n" in output
    manifests = run(corpus, tmp_path / "out", "--features", features_kind, sizes=(22, 21))
    assert [len(manifests[split]) for split in ("train", "dev", "test")] == [5, 1, 1]
    output = capsys.readouterr().out
    assert "train: dropped 1 of 6 rows: empty recordings" in output and "dev: dropped 1 of 2 rows: empty recordings" in output
    expected = {"train": [1, 3], "dev": [7, 8], "test": [10]}
    for _ in range(2):  # the second time, everything is there already
        for split, numbers in expected.items():
            assert (tmp_path / f"out/missing_{split}.txt").read_text().split() == [f"en/clips/{clip_name('en', number)}" for number in numbers]
        run(corpus, tmp_path / "out", "--features", features_kind, sizes=(22, 21))
    assert "train: already prepared" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["asr", "st"])
def test_many_source_languages_of_any_code_make_one_corpus(tmp_path, task):
    letters = {"zh-CN": "你好世界", "sv-SE": "åäöx", "de": "üßqz"}
    known = {"zh-CN": ("accents",), "sv-SE": ("accent", "age"), "de": ()}
    for language in letters:
        texts = [(letters[language][: 1 + number % 4], "abcd"[number % 4 :]) for number in range(len(SPLITS))]
        CommonVoice(tmp_path / "cv", language, ("en",), SPLITS, texts.__getitem__, known[language]).write()
    sizes = {"asr": (22, 19), "st": (10, 19)}[task]
    flags = ["--source-lang", *letters, "--target-lang", "en", "--task", task, "--vocab-size", sizes[0], "--transcript-vocab-size", sizes[1]]
    prepare("covost2", tmp_path / "cv", tmp_path / "out", *flags)
    for split, utterances in manifests_in(tmp_path / "out").items():
        assert collections.Counter(utterance.src_lang for utterance in utterances) == {
            language: sum(name in NAMES[split] for name in SPLITS) for language in letters
        }
        for utterance in utterances:
            assert utterance.id.startswith(f"{utterance.src_lang}-en_common_voice_{utterance.src_lang}_")
            assert utterance.tgt_lang == (utterance.src_lang if task == "asr" else "en")
            assert set(utterance.src_text) <= set(letters[utterance.src_lang])
            number = int(utterance.id.rpartition("_")[2])
            columns = known[utterance.src_lang]
            accent = next((f"{name} {number % 3}" for name in ("accent", "accents") if name in columns), "")
            about = {"accent": accent, "age": f"age {number % 3}" if "age" in columns else "", "gender": ""}
            assert utterance.extra == about | {"recording": f"{utterance.src_lang}/clips/{clip_name(utterance.src_lang, number)}"}
    pieces = {name: (tmp_path / f"out/spm_{name}.txt").read_text().split("\n") for name in ("target", "transcript")}
    tags = [f"<lang:{language}> 1" for language in sorted(letters)] if task == "asr" else []
    assert [piece for piece in pieces["target"] if piece.startswith("<lang:")] == tags
    assert DataConfig.load(tmp_path / "out/config.yaml").prepend_tgt_lang_tag == (task == "asr")
    # The study's mistake: its transcript vocabulary knew the translations only.
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "out/spm_transcript.model"))
    assert all(model.unk_id() not in model.encode(text) for text in letters.values()) and model.unk_id() in model.encode("abcd")


def test_a_clip_with_several_translations_is_stored_once(corpus, tmp_path):
    manifests = run(corpus.write(), tmp_path / "out", targets=("de", "fr"), sizes=(28, 24))
    train = {utterance.id: utterance for utterance in manifests["train"]}
    assert len(train) == 14
    for number in range(7):
        german, french = (train[f"en-{target}_common_voice_en_{number}"] for target in ("de", "fr"))
        assert german.audio == french.audio and (german.tgt_text, french.tgt_text) == english(number)[1:]
    with zipfile.ZipFile(tmp_path / "out/fbank80.train.zip") as archive:
        assert len(archive.namelist()) == 7


def doubled(corpus):
    corpus.translations["de"] += corpus.translations["de"][1:3]


def doubled_recording(corpus):
    corpus.voices += corpus.voices[3:4]


def other_split(corpus):
    corpus.translations["de"][3]["split"] = corpus.translations["de"][9]["split"] = "test2"


def no_dev(corpus):
    corpus.translations["de"] = [row for row in corpus.translations["de"] if row["split"] != "dev"]


def without_dev_recordings(corpus):
    corpus.voices = corpus.voices[:7] + corpus.voices[10:]


def without_column(column, rows):
    return lambda corpus: [row.pop(column) for row in rows(corpus)]


def without_clips(corpus):
    for number in (0, 3, 4, 8, 9, 11):
        (corpus.root / "en/clips" / clip_name("en", number)).unlink()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (doubled, "covost_v2.en_de.tsv: path must be unique, but 2 stand twice or more: common_voice_en_1.mp3, common_voice_en_2.mp3; remove"),
        (doubled_recording, "validated.tsv: path must be unique, but 1 stand twice or more: common_voice_en_3.mp3; remove"),
        (other_split, "covost_v2.en_de.tsv: split must be of train train_covost dev test, but is test2 in 2 rows"),
        (no_dev, "covost_v2.en_de.tsv: must have rows of the split dev, but has none among 10"),
        (without_dev_recordings, "dev: no row of the corpus can be used"),
        (without_column("translation", lambda corpus: corpus.translations["de"]), "covost_v2.en_de.tsv:1: column 'translation' is missing"),
        (without_column("sentence", lambda corpus: corpus.voices), "validated.tsv:1: column 'sentence' is missing; the header"),
        (without_clips, "6 of 12 audio files are not there: en/clips/common_voice_en_0.mp3, en/clips/common_voice_en_3.mp3"),
    ],
)
def test_a_corpus_that_is_not_as_it_should_be_is_an_error_before_anything_is_written(corpus, tmp_path, spoil, message):
    spoil(corpus)
    with pytest.raises(ValueError) as error:
        run(corpus.write(), tmp_path / "out")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--source-lang", "xx", "--target-lang", "en"], "xx: no such language; correct --root or --source-lang"),
        (["--source-lang", "en", "--target-lang", "xx"], "covost_v2.en_xx.tsv: no such file"),
        (["--source-lang", "en", "--target-lang", "de", "--splits", "train", "tst-COMMON"], "--splits must be of train dev test for covost2"),
        (["--source-lang", "en", "--target-lang", "en"], "--target-lang must differ from --source-lang, but both are en"),
        (["--source-lang", "en", "--target-lang", "de", "fr", "--task", "asr"], "--target-lang must be one language for asr"),
        (["--source-lang", "en"], "--target-lang is needed for covost2"),
    ],
)
def test_flags_that_do_not_fit_the_corpus_are_an_error(corpus, tmp_path, flags, message):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        prepare("covost2", corpus.write().root, tmp_path / "out", "--task", "st", *flags)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_row_of_another_length_is_an_error_with_its_line(corpus, tmp_path):
    path = corpus.write().root / "en/validated.tsv"
    path.write_text(path.read_text() + "client\tonly two\n")
    with pytest.raises(ValueError, match=r"validated.tsv:15: the row must have 6 fields as the header has, but has 2; .* \('client' ...\)"):
        run(corpus, tmp_path / "out")
