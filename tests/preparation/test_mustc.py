"""MuST-C: texts stay texts, segments without sound are left out, and what is wrong has its place."""

import pytest
from mustc_corpus import run, small_corpus
from prepare_command import prepare


@pytest.fixture
def corpus(tmp_path):
    return small_corpus(tmp_path / "mustc")


def change(corpus, split, extension, old, new):
    path = corpus.folder[split] / f"txt/{split}.{extension}"
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new), encoding="utf-8")


def check(corpus, tmp_path):
    prepare("mustc", corpus.root, tmp_path / "none", "--task", "st", "--source-lang", "en", "--target-lang", "de", "--check")


@pytest.mark.parametrize("speaker", ["007", "1e3", "no", "null", "2024-01-01", "0x1F", "1_000", "spk.3"])
def test_speakers_are_text(corpus, tmp_path, speaker):
    change(corpus, "dev", "yaml", "spk.3", speaker)
    assert {utterance.speaker for utterance in run(corpus, tmp_path / "out", "--features", "online")["dev"]} == {speaker}


def test_segments_without_duration_are_left_out_counted_and_listed(corpus, tmp_path, capsys):
    change(corpus, "dev", "yaml", "duration: 0.600000", "duration: 0.0")
    change(corpus, "train", "yaml", "duration: 0.410000", "duration: 0")
    lines = [
        "train: left out 1 of 21 rows that are empty (duration 0): ted_1.wav\n",
        "dev: left out 1 of 3 rows that are empty (duration 0): ted_3.wav\n",
    ]
    check(corpus, tmp_path)
    output = capsys.readouterr().out
    assert all(line in output for line in lines)
    manifests = run(corpus, tmp_path / "out")
    output = capsys.readouterr().out
    assert all(line in output for line in lines)
    assert [utterance.id for utterance in manifests["dev"]] == ["dev_ted_3_0", "dev_ted_3_2"]
    assert (tmp_path / "out/missing_dev.txt").read_text() == "en-de/data/dev/wav/ted_3.wav\n"


def test_a_mark_before_the_first_line_is_no_text(corpus, tmp_path):
    texts = {extension: (corpus.folder["dev"] / f"txt/dev.{extension}").read_text(encoding="utf-8") for extension in ("yaml", "en", "de")}
    for extension, text in texts.items():
        (corpus.folder["dev"] / f"txt/dev.{extension}").write_text("\ufeff" + text, encoding="utf-8")
    dev = run(corpus, tmp_path / "out", "--features", "online")["dev"]
    assert [utterance.src_text for utterance in dev] == texts["en"].splitlines()
    assert [utterance.tgt_text for utterance in dev] == texts["de"].splitlines()


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("duration: 0.600000", f"duration: {'9' * 400}", "segment 2: duration must be seconds, not negative, but is '999"),
        ("duration: 0.600000", "duration: -1", "segment 2: duration must be seconds, not negative, but is '-1'"),
        ("duration: 0.600000", "duration: .nan", "segment 2: duration must be seconds, not negative, but is '.nan'"),
        ("duration: 0.600000", "duration: nan", "segment 2: duration must be seconds, not negative, but is 'nan'"),
        ("duration: 0.600000", "duration: 1e308", "segment 2: duration must be seconds, not negative, but is '1e308'"),
        ("duration: 0.600000", "duration: true", "segment 2: duration must be seconds, not negative, but is 'true'"),
        ("duration: 0.600000", "duration: [1]", "segment 2: duration must be one value, but is ['1']"),
        ("offset: 0.250000", "offset: 1e308", "segment 1: offset must be seconds, not negative, but is '1e308'"),
        ("speaker_id: spk.3", "speaker_id: {a: b}", "segment 1: speaker_id must be one value, but is {'a': 'b'}"),
        ("wav: ted_3.wav", "wav: [a]", "segment 1: wav must be one value, but is ['a']"),
        ("wav: ted_3.wav", "wav: ../../../../../x.wav", "segment 1: the audio file 'en-de/data/dev/wav/../../../../../x.wav' is outside --root"),
        ("wav: ted_3.wav", "wav: /x.wav", "audio files are not there: en-de/data/dev/wav//x.wav"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(corpus, tmp_path, old, new, message):
    change(corpus, "dev", "yaml", old, new)
    with pytest.raises(ValueError) as error:
        check(corpus, tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 1000
