"""B-WER, U-WER, hot words found and false ones: shares of the edits of WER, counted by hand in small texts."""

import json
import random

import numpy as np
import pytest

from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest
from speechllm_plugin.scoring.metrics import WER_NORMALISED
from speechllm_plugin.scoring.metrics.hot_word_rates import metrics_of

NAMES = ["b_wer", "u_wer", "hot_found", "hot_false"]


def counts(words, hypotheses, references, languages=None):
    """Metric -> (count, out of) over all sentences."""
    languages = languages or [""] * len(references)
    return {metric.name: tuple(metric.statistics(hypotheses, references, languages).sum(0)) for metric in metrics_of(words)}


def test_errors_are_of_the_word_that_was_said_and_insertions_of_the_word_that_was_written():
    words = ["Thomas", "Paula", "New York"]
    references = ["Thomas saw the dog.", "In New York, Paula sleeps", "a new dog", "no name"]
    hypotheses = ["thomas saw a dog", "in new work Peter sleeps", "a new York dog", "no name Thomas"]
    # the | york, Paula | (New York as a whole is written falsely, york is the insertion) | Thomas
    assert counts(words, hypotheses, references) == {"b_wer": (4, 4), "u_wer": (1, 10), "hot_found": (1, 3), "hot_false": (2, 14)}


def test_a_word_alone_is_no_part_of_a_phrase_and_the_longest_phrase_counts():
    assert counts(["new york", "new york city"], ["new"], ["york new york city"])["hot_found"] == (0, 1)
    assert counts(["new york"], ["new york"], ["new"]) == {"b_wer": (1, 0), "u_wer": (0, 1), "hot_found": (0, 0), "hot_false": (1, 1)}


def test_letters_are_the_words_of_a_script_without_blanks():
    assert counts(["北京"], ["我在北平"], ["我在北京"], ["zh"]) == {"b_wer": (1, 2), "u_wer": (0, 2), "hot_found": (0, 1), "hot_false": (0, 4)}


@pytest.mark.parametrize("seed", range(5))
def test_both_rates_share_out_the_edits_of_normalised_wer(seed):
    rng = random.Random(seed)
    references = [" ".join(rng.choices("abcdefg", k=rng.randint(0, 9))) for _ in range(60)]
    hypotheses = [" ".join(rng.choices([word, rng.choice("abcdefg"), ""], (6, 2, 1))[0] for word in text.split()) for text in references]
    hot, other = (metric.statistics(hypotheses, references, [""] * 60) for metric in metrics_of(["a", "B c", "d e f"])[:2])
    np.testing.assert_array_equal(hot + other, WER_NORMALISED.statistics(hypotheses, references, [""] * 60))
    assert hot.sum() and other.sum()


@pytest.fixture
def spoken(tmp_path):
    """Two speakers, of whom one says a hot word."""
    rows = [("u0", "Thomas sleeps", "A"), ("u1", "the dog sleeps", "B")]
    utterances = [manifest.Utterance(id=name, audio="a.wav", n_frames=9, tgt_text=text, speaker=speaker) for name, text, speaker in rows]
    manifest.write(tmp_path / "test.tsv", utterances)
    lines = [
        f"{kind}-{row}\t{score}{text}"
        for row, text in enumerate(["Thomas sleeps", "the Paula sleeps"])
        for kind, score in [("H", "-1\t"), ("D", "-1\t")]
    ]
    (tmp_path / "out.txt").write_text("\n".join([*lines, "Translated 2 sentences (5 tokens)", "Generate test with beam=5: BLEU4 = 1"]) + "\n")
    (tmp_path / "words.txt").write_text("Thomas\n\nPaula\nThomas\n")
    return tmp_path


def score(folder, *arguments):
    command = ["score", "--hypotheses", folder / "out.txt", "--manifest", folder / "test.tsv", "--metrics", "wer", "--resamples", 50, *arguments]
    return cli.main([str(each) for each in command])


def test_the_command_scores_the_list_by_speaker_and_against_another_system(spoken, capsys):
    arguments = ["--hot-words", spoken / "words.txt", "--by", "speaker", "--against", spoken / "out.txt", "--json", spoken / "score.json"]
    assert score(spoken, *arguments) == 0
    printed, said = capsys.readouterr()
    assert "words.txt: 2 hot words; lines left out: 1 blank, 1 doubled" in said
    report = json.loads((spoken / "score.json").read_text())
    assert list(report["metrics"]) == ["wer", "wer_normalised", *NAMES]
    assert [report["metrics"][name]["score"] for name in NAMES] == [0, 25, 100, 20]
    assert "list:2-" in report["metrics"]["b_wer"]["signature"]
    assert report["values"]["B"]["metrics"]["b_wer"]["score"] is None  # who said none of the words has no rate of them
    assert report["mean"]["b_wer"]["score"] == 0 and report["against"]["metrics"]["hot_found"]["difference"] == 0
    assert "nan" not in printed


def test_lists_that_are_no_use_are_an_error_of_one_line(spoken, capsys):
    for content, message in [
        (b"\n", "words.txt: 0 hot words; lines left out: 1 blank: scoring needs some"),
        (b"M\xfcller", "words.txt: must be UTF-8, but is not"),
    ]:
        (spoken / "words.txt").write_bytes(content)
        assert score(spoken, "--hot-words", spoken / "words.txt") == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert message in last
    assert score(spoken, "--hot-words", spoken / "absent.txt") == 1 and "no such file of hot words" in capsys.readouterr().err
