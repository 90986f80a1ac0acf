"""Fish Fillets NG: rows are its dialogs with their recordings, and what has no text or no recording is named."""

import pytest
import soundfile
from game_corpora import LEVELS, FishFillets
from prepare_command import manifests_in, prepare

from speechllm_plugin.preparation.readers import fillets


@pytest.fixture
def corpus(tmp_path):
    return FishFillets(tmp_path / "root")


def rows(corpus, split="train", source="cs", target="de"):
    return fillets.read(corpus.game.parents[3], split, source, target)


def test_rows_are_the_dialogs_of_the_levels_of_a_split(corpus):
    corpus.write()
    for split, levels in LEVELS.items():
        found = rows(corpus, split)
        expected = [(level, *dialog) for level in sorted(levels) for dialog in corpus.dialogs[level]]
        assert not any(row.left_out for row in found)
        for row, (level, name, speaker, texts) in zip(found, expected, strict=True):
            utterance = row.utterance
            assert (utterance.src_text, utterance.tgt_text, utterance.src_lang, utterance.tgt_lang) == (texts["cs"], texts["de"], "cs", "de")
            assert (utterance.id, utterance.speaker) == (f"{level}_{name}".replace("/", "-"), f"cs-{speaker}")
            assert corpus.game.parents[3] / utterance.audio == corpus.sound_file(level, name)
            assert utterance.extra == {"level": level, "sample_rate": ("22050", "44100")[int(name[2:]) % 2]}
            path, _, line = row.place.rpartition(":")
            assert path == str(corpus.texts_file(level, "cs"))
            assert f'dialogId("{name}"' in corpus.texts_file(level, "cs").read_text().splitlines()[int(line) - 1]


def test_english_is_what_all_files_repeat(corpus):
    corpus.write()
    assert [row.utterance.tgt_text for row in rows(corpus, "dev", target="en")] == [texts["en"] for _, _, texts in corpus.dialogs["airplane"]]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"a \"quote\" and C:\\X", 'a "quote" and C:\\X'),
        ("ends -- here", "ends -- here"),
        (r"two\n lines\tof text", "two lines of text"),
        (") dialogStr(", ") dialogStr("),
    ],
)
def test_strings_are_those_of_lua(corpus, written, read):
    corpus.dialogs["airplane"][1][2]["cs"] = written
    corpus.write()
    assert rows(corpus, "dev")[1].utterance.src_text == read


def test_what_cannot_be_used_is_left_out_with_its_reason(corpus):
    texts = [texts for _, _, texts in corpus.dialogs["airplane"]]
    texts[0]["cs"] = ""
    texts[1]["cs"] = "%2 hodin"
    texts[2]["cs"] = "Подожди, počkej"
    corpus.dialogs["airplane"] += [("x-6", "big", {"cs": "Počkej.", "de": "Подожди", "en": "Wait."}), ("x-7", "big", {"en": "", "de": "Miau."})]
    del texts[3]["de"]
    corpus.write()
    corpus.sound_file("airplane", "x-4").unlink()
    corpus.sound_file("airplane", "x-5").rename(corpus.sound_file("airplane", "unheard"))
    corpus.sound_file("airplane", "x-7").unlink()  # a sound effect
    assert [(row.utterance.id, row.left_out) for row in rows(corpus, "dev")] == [
        ("airplane_x-0", "that have no text"),
        ("airplane_x-1", "whose text has a placeholder"),
        ("airplane_x-2", "whose text is in two scripts"),
        ("airplane_x-3", "that have no text in de"),
        ("airplane_x-4", "that have no recording"),
        ("airplane_x-5", "that have no recording"),
        ("airplane_x-6", "whose text is in two scripts"),
        ("airplane_unheard", "that have no dialog"),
    ]
    assert {row.utterance.id: row.utterance.speaker for row in rows(corpus, "dev")}["airplane_unheard"] == ""


def test_a_language_in_cyrillic_may_be_so(corpus):
    for _, _, texts in corpus.dialogs["airplane"]:
        texts["bg"] = "Чакай"
    corpus.languages += ("bg",)
    corpus.write()
    assert [row.left_out for row in rows(corpus, "dev", target="bg")] == [""] * 6


def test_of_several_texts_the_last_one_counts(corpus):
    first, *others = corpus.dialogs["share/border"]
    corpus.write()
    (corpus.game / "script/share/border_dialogs_cs.lua").write_text(
        'dialogId("x-0", "font_big", "one") dialogStr("jedna")\ndialogId("y", "font_big", "") dialogStr("sám")'
    )
    path = corpus.texts_file("share/border", "cs")
    path.write_text(path.read_text() + f'dialogId("{others[0][0]}", "font_big", "two")\ndialogStr("dvě")')
    found = {row.utterance.id.removeprefix("share-border_"): row.utterance.src_text for row in rows(corpus)}
    assert found["x-0"] == first[2]["cs"]
    assert found["x-1"] == "dvě" and found["y"] == "sám"


def test_directions_are_those_of_the_languages_that_are_spoken_there(corpus):
    root = corpus.write().game.parents[3]
    assert fillets.directions(root) == [("cs", target) for target in sorted(fillets.TRANSLATED) if target != "cs"]
    assert fillets.directions(root / "usr") == []


def test_texts_without_recording_are_those_of_training_that_no_held_out_level_has(corpus, tmp_path):
    number_of = {"cs": "číslo", "de": "Nummer", "en": "number"}
    corpus.dialogs["key"] = [(f"k-{n}", "small", {lang: f"{word} {n}." for lang, word in number_of.items()}) for n in range(4)]
    corpus.dialogs["atlantis"][0][2]["de"] = corpus.dialogs["key"][1][2]["de"]  # of a test level
    corpus.dialogs["key"][2][2]["cs"] = "%1 hodin"
    corpus.write()
    for level, name in [*(("key", f"k-{n}") for n in range(4)), ("alibaba", "x-3"), ("atlantis", "x-4"), ("airplane", "x-5")]:
        corpus.sound_file(level, name).unlink()
    flags = ["--source-lang", "cs", "--target-lang", "de", "--task", "st", "--vocab-size", "24", "--transcript-vocab-size", "24"]
    root, speeds = corpus.game.parents[3], ["--speed-perturbation", "0.9", "1.0"]
    prepare("fillets", root, tmp_path / "out", *flags, *speeds)
    prepare("fillets", root, tmp_path / "out", *flags, *speeds, "--splits", "test")  # takes no texts away
    manifests = manifests_in(tmp_path / "out")
    texts = {(row.id, row.src_text, row.tgt_text, row.audio) for row in manifests["texts"]}
    said = corpus.dialogs["alibaba"][3][2]
    expected = [("alibaba_x-3", said["cs"], said["de"]), ("key_k-0", "číslo 0.", "Nummer 0."), ("key_k-3", "číslo 3.", "Nummer 3.")]
    assert {(text, translation) for _, text, translation, _ in texts} == {row[1:] for row in expected}
    assert len(texts) == 6 and {row.id for row in manifests["texts"]}.isdisjoint(row.id for row in manifests["train"])
    assert {row.audio for row in manifests["texts"]} == {""} and {row.src_lang for row in manifests["texts"]} == {"cs"}
    sizes = ["--vocab-size", "20", "--transcript-vocab-size", "20"]
    prepare("fillets", root, tmp_path / "held", *flags, *sizes, "--hold-out", "speaker=cs-small")
    assert [row.id for row in manifests_in(tmp_path / "held")["texts"]] == ["alibaba_x-3"]
    prepare("fillets", root, tmp_path / "asr", *flags, "--task", "asr")
    assert "texts" not in manifests_in(tmp_path / "asr")
    del corpus.dialogs["key"]
    corpus.write()
    for path in root.rglob("script/key/*"):
        path.unlink()
    prepare("fillets", root, tmp_path / "out", *flags, *speeds)
    assert "texts" not in manifests_in(tmp_path / "out")  # as all are recorded now


def test_damage_is_an_error_that_names_the_place(corpus):
    corpus.write()
    path = corpus.texts_file("airplane", "cs")
    with pytest.raises(ValueError, match="--source-lang must be cs or nl"):
        rows(corpus, source="en")
    with pytest.raises(ValueError, match="--splits must be of train dev test for fillets, but has tst"):
        rows(corpus, "tst")
    with pytest.raises(FileNotFoundError, match="unpack the package fillets-ng-data-nl"):
        rows(corpus, source="nl")
    path.write_text('dialogStr("alone")')
    with pytest.raises(ValueError, match="a dialogStr must follow its dialogId"):
        rows(corpus, "dev")
    path.write_bytes(b'dialogId("\xff", "", "")')
    with pytest.raises(ValueError, match=f"{path}: must be UTF-8"):
        rows(corpus, "dev")


def test_what_cannot_be_read_is_a_row_as_prepare_says_so(corpus):
    corpus.write()
    corpus.sound_file("airplane", "x-0").write_bytes(b"no sound")
    first = rows(corpus, "dev")[0]
    assert (first.left_out, first.utterance.extra["sample_rate"]) == ("", "")


def test_a_speaker_is_held_out_of_training_only(corpus, tmp_path, capsys):
    corpus.write()
    flags = ["--source-lang", "cs", "--target-lang", "en", "--task", "asr", "--vocab-size", "24", "--transcript-vocab-size", "24"]
    prepare("fillets", corpus.game.parents[3], tmp_path / "out", *flags, "--hold-out", "speaker=cs-small")
    manifests = manifests_in(tmp_path / "out")
    assert {name: {row.speaker for row in rows} for name, rows in manifests.items()} == {
        "train": {"cs-big"},
        "dev": {"cs-big"},
        "test": {"cs-big", "cs-small"},
    }
    assert "train: held out 6 of 12 rows: speaker=cs-small\n" in capsys.readouterr().out


def test_a_recording_without_sound_is_left_out(corpus, tmp_path, capsys):
    corpus.write()
    silent = corpus.sound_file("alibaba", "x-0")
    soundfile.write(silent, [], 22050, format="OGG", subtype="VORBIS")
    flags = ["--source-lang", "cs", "--target-lang", "en", "--task", "asr", "--vocab-size", "24", "--transcript-vocab-size", "24"]
    prepare("fillets", corpus.game.parents[3], tmp_path / "out", *flags)
    assert "train: dropped 1 of 12 rows: empty recordings\n" in capsys.readouterr().out
    assert (tmp_path / "out/missing_train.txt").read_text().endswith("sound/alibaba/cs/x-0.ogg\n")
