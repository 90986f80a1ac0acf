"""--hot-words: what the file and the vocabulary may be, and that the command uses it."""

import pytest
from commands import generate, hypotheses, last_line, succeeded, train
from tiny_model import task

from speechllm_plugin.tasks.hot_word_decoding import DEFAULT_BONUS, hot_words
from speechllm_plugin.tasks.text_codec import TextCodec


@pytest.fixture
def word_codec(tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_text("anna 1\nTom 1\n<lang:de> 1\n", encoding="utf-8")
    return TextCodec(type(task().target_dictionary).load(str(path)), None, None)


def listed(tmp_path, content, name="words.txt"):
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)


def test_a_vocabulary_of_words_writes_words_and_phrases(tmp_path, word_codec, caplog):
    caplog.set_level("INFO")
    found = hot_words(listed(tmp_path, b"Anna\n\ntom\nBob\ntom\nanna Tom\n"), None, word_codec, [])
    assert found.unwritable == ["Bob"]
    assert found.coverage.max() >= len("anna") * DEFAULT_BONUS
    messages = [record.getMessage() for record in caplog.records]
    assert messages[-2].endswith("words.txt: 4 hot words; lines left out: 1 blank, 1 doubled")
    assert messages[-1].endswith("1 of 4 hot words cannot be written with the pieces of the vocabulary and have no effect: Bob")


def test_an_empty_list_is_said_and_has_no_effect(tmp_path, word_codec, caplog):
    assert hot_words(None, None, word_codec, ["sampling"]) is None
    assert hot_words(listed(tmp_path, b"\n \n"), 2.0, word_codec, []) is None
    assert caplog.records[-1].getMessage().endswith("words.txt: 0 hot words; lines left out: 2 blank: decoding goes on without")


def test_what_cannot_be_done_is_an_error_of_one_line(tmp_path, word_codec):
    class OtherPieces:
        pass

    words = listed(tmp_path, b"anna")
    other = TextCodec(word_codec.dictionary, None, None)
    other.bpe = OtherPieces()
    for path, bonus, codec, unserved, message in [
        (None, 2.0, word_codec, [], "--hot-word-bonus 2.0 has an effect only with --hot-words"),
        (words, 0.0, word_codec, [], "--hot-word-bonus must be positive and finite, but is 0.0"),
        (words, None, word_codec, ["sampling"], "--hot-words is not served together with sampling"),
        (
            words,
            None,
            other,
            [],
            "--hot-words needs a vocabulary of SentencePiece's pieces or of words, but the data configuration's is of OtherPieces",
        ),
        (listed(tmp_path, b"M\xfcller", "latin.txt"), None, word_codec, [], "latin.txt: must be UTF-8, but is not"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            hot_words(path, bonus, codec, unserved)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="no such file of hot words"):
        hot_words(str(tmp_path / "absent"), None, word_codec, [])


@pytest.mark.end_to_end
def test_the_command_writes_the_words_of_the_list(trained, data, tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "words").write_text("zwei\n")
    plain, empty, favoured = (
        hypotheses(succeeded(generate(data, trained.checkpoint, "tst-COMMON", *arguments)).stdout)
        for arguments in ([], ["--hot-words", tmp_path / "empty"], ["--hot-words", tmp_path / "words", "--hot-word-bonus", 20])
    )
    assert empty == plain
    best = ["".join(n_best[0].text.split()) for n_best in favoured.values()]
    assert all("▁zwei" in text.lower() for text in best) and best != ["".join(n_best[0].text.split()) for n_best in plain.values()]
    refused = train(data, None, "--hot-words", tmp_path / "words", updates=2)
    assert refused.returncode == 1 and "is for decoding, not for training" in last_line(refused)
