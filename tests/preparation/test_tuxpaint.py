"""Tux Paint's stamps: rows are recordings with the texts of their stamp, each recording once."""

import shutil

import pytest
from game_corpora import STAMPS, Stamps
from prepare_command import manifests_in, prepare

from speechllm_plugin.preparation.readers import tuxpaint


@pytest.fixture
def corpus(tmp_path):
    return Stamps(tmp_path / "root")


def rows(corpus, split="train", source="fr", target="en"):
    return tuxpaint.read(corpus.folder.parents[3], split, source, target)


def test_rows_are_the_recordings_of_the_stamps_of_a_split(corpus):
    corpus.write()
    for split, stamps in STAMPS.items():
        found = {row.utterance.extra["stamp"]: row for row in rows(corpus, split)}
        assert found.keys() == set(stamps) and not any(row.left_out for row in found.values())
        for stamp, row in found.items():
            utterance, texts = row.utterance, corpus.texts[stamp]
            assert (utterance.src_text, utterance.tgt_text, utterance.src_lang, utterance.tgt_lang) == (texts["fr"], texts["en"], "fr", "en")
            assert corpus.folder.parents[3] / utterance.audio == corpus.sound_file(stamp, "fr")
            assert utterance.extra["topic"] == stamp.split("/")[0] and utterance.extra["sample_rate"] in ("44100", "8000")


def test_what_cannot_be_used_is_left_out_with_its_reason(corpus):
    texts = corpus.texts
    del texts["animals/one"]["fr"]
    del texts["animals/two"]["en"]
    texts["food/three"]["fr"] = "a text of which the recording has the first words only"
    corpus.write()
    shutil.copy(corpus.sound_file("food/five", "fr"), corpus.sound_file("food/four", "fr"))
    assert [(row.utterance.id, row.left_out) for row in rows(corpus)] == [
        ("animals_one", "that have no text"),
        ("animals_two", "that have no text in en"),
        ("food_five", ""),
        ("food_four", "that repeat the recording of another stamp"),
        ("food_three", "whose text has more than 25 characters a second"),
    ]


def test_a_recording_repeats_only_what_is_used(corpus):
    del corpus.texts["animals/one"]["fr"]
    corpus.write()
    shutil.copy(corpus.sound_file("animals/one", "fr"), corpus.sound_file("animals/two", "fr"))
    assert [row.left_out for row in rows(corpus)][:2] == ["that have no text", ""]


def test_of_several_texts_the_first_one_counts(corpus):
    corpus.write()
    path = corpus.folder / "animals/one.txt"
    path.write_text(f"{path.read_text()}fr.utf8=another\nca@valencia.utf8=un\n", encoding="utf-8-sig")
    first = rows(corpus, target="ca@valencia")[0].utterance
    assert (first.src_text, first.tgt_text) == (corpus.texts["animals/one"]["fr"], "un")
    assert rows(corpus)[0].utterance.tgt_text == corpus.texts["animals/one"]["en"]


def test_directions_are_those_of_the_languages_that_are_spoken_there(corpus):
    root = corpus.folder.parents[3]
    assert tuxpaint.directions(root) == []
    corpus.write()
    targets = sorted(["en", *tuxpaint.SPEECH_LANGUAGES])
    assert tuxpaint.directions(root) == [(source, target) for source in ("es", "fr") for target in targets if source != target]


def test_damage_is_an_error_that_names_the_place(corpus):
    with pytest.raises(FileNotFoundError, match="unpack the package tuxpaint-stamps-default"):
        rows(corpus)
    corpus.write()
    with pytest.raises(ValueError, match="--source-lang must be of be bg ca .* for tuxpaint, but is nl"):
        rows(corpus, source="nl")
    (corpus.folder / "food/three.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=f"{corpus.folder}/food/three.txt: must be UTF-8"):
        rows(corpus)


def test_what_cannot_be_read_is_a_row_as_prepare_says_so(corpus):
    corpus.write()
    corpus.sound_file("animals/one", "fr").write_bytes(b"no sound")
    first = rows(corpus)[0]
    assert (first.left_out, first.utterance.extra["sample_rate"]) == ("", "")


def test_several_languages_become_one_data_folder(corpus, tmp_path):
    corpus.write()
    flags = ["--source-lang", "es", "fr", "--target-lang", "en", "--task", "st", "--sampling-alpha", "0.5", "--speed-perturbation", "0.9", "1"]
    prepare("tuxpaint", corpus.folder.parents[3], tmp_path / "out", *flags, "--vocab-size", "13", "--transcript-vocab-size", "15")
    manifests = manifests_in(tmp_path / "out")
    assert {name: len(utterances) for name, utterances in manifests.items()} == {"train": 20, "dev": 4, "test": 4}
    assert {row.id.split("_")[0] for row in manifests["test"]} == {"es-en", "fr-en"}
