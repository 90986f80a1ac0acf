"""Scores of known edits, the normaliser, and the join of fairseq-generate's output with the manifest."""

import json
import random
import unicodedata

import pytest
import sacrebleu

from speechllm_plugin import cli
from speechllm_plugin.data import manifest
from speechllm_plugin.scoring import score, wer
from speechllm_plugin.scoring.normalise import normalise

REFERENCES = ['She said "no".', "a b c d", "", "Zwei Wörter"]
HYPOTHESES = ["she said no", "a x c", "uh", "zwei Wörter"]


def slow_distance(hypothesis, reference):
    """Levenshtein's recurrence, as in textbooks."""
    row = list(range(len(reference) + 1))
    for i, unit in enumerate(hypothesis, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(reference, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (unit != other))
    return row[-1]


@pytest.fixture
def corpus(tmp_path):
    """A manifest of REFERENCES and the output of fairseq-generate for it, longest first as fairseq does."""
    utterances = [
        manifest.Utterance(id=f"utt{row}", audio=f"{row}.wav", n_frames=100 + row, tgt_text=text)
        for row, text in enumerate(REFERENCES)
    ]
    manifest.write(tmp_path / "test.tsv", utterances)
    write_output(tmp_path / "generate-test.txt", [3, 1, 0, 2])
    return tmp_path


def write_output(path, rows, num_best=1):
    lines = ["2026-01-01 00:00:00 | INFO | fairseq_cli.generate | {'_name': None, 'beam': 5}"]
    for row in rows:
        lines.append(f"T-{row}\ttokenised reference of {row}")
        for rank in range(num_best):
            text = HYPOTHESES[row] if rank == 0 else f"worse {rank}"
            lines += [f"H-{row}\t-{rank}.5\t▁pieces", f"D-{row}\t-{rank}.5\t{text}", f"P-{row}\t-0.1 -0.2"]
    lines.append("2026-01-01 00:00:01 | INFO | fairseq_cli.generate | Translated 4 sentences (9 tokens)")
    lines.append("Generate test with beam=5: BLEU4 = 12.00")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_score(folder, *options, output="generate-test.txt"):
    return cli.main(
        ["score", "--hypotheses", str(folder / output), "--manifest", str(folder / "test.tsv"), *map(str, options)]
    )


@pytest.mark.parametrize(
    "hypothesis, reference, num_edits",
    [
        ("a b c", "a b c", 0),
        ("a  b\tc ", "a b c", 0),
        ("a x c", "a b c", 1),
        ("a c", "a b c", 1),
        ("a b b c", "a b c", 1),
        ("", "a b c", 3),
        ("a b", "", 2),
        ("b c d e", "a b c d", 2),
    ],
)
def test_word_edits_are_counted(hypothesis, reference, num_edits):
    assert wer.word_edits(hypothesis, reference) == (num_edits, len(reference.split()))


def test_characters_are_counted_with_the_spaces_between_words():
    assert wer.character_edits(" ab  cd ", "ab cd") == (0, 5)
    assert wer.character_edits("abcd", "ab cd") == (1, 5)


def test_distances_equal_the_textbooks_also_for_long_sentences():
    generator = random.Random(1)
    for length in (1, 7, 63, 64, 65, 700):
        reference = generator.choices("abc", k=length)
        hypothesis = [unit for unit in reference if generator.random() < 0.8] + generator.choices("abcd", k=3)
        assert wer.word_edits(" ".join(hypothesis), " ".join(reference)).distance == slow_distance(hypothesis, reference)


def test_error_rates_are_of_the_corpus_not_means_of_sentences():
    # 1 of 1 and 1 of 9 words wrong: 2 of 10, not the mean of 100% and 11%.
    assert wer.word_error_rate(["x", "b c d e f g h i x"], ["a", "b c d e f g h i j"]) == pytest.approx(20.0)
    assert wer.character_error_rate(["ab", ""], ["abc", "d"]) == pytest.approx(50.0)


def test_insertions_count_where_single_references_are_empty():
    assert wer.word_error_rate(["a b", "c"], ["a b", ""]) == pytest.approx(50.0)
    assert wer.word_error_rate(["a b c d e"], ["a"]) == pytest.approx(400.0)


def test_a_corpus_without_reference_words_is_an_error():
    with pytest.raises(ValueError, match="all 2 references are empty"):
        wer.word_error_rate(["a", "b"], ["", " "])
    with pytest.raises(ValueError, match="2 and 1"):
        wer.word_error_rate(["a", "b"], ["a"])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Hello, World!", "hello world"),
        ("  two \t spaces\u00a0here ", "two spaces here"),
        ("don't Don’t don´t donʼt", "don't don't don't don't"),
        ("'quoted' ‘quoted’ dogs’ 'cause", "quoted quoted dogs cause"),
        ("rock''n", "rock n"),
        ("p'unchay l’homme", "p'unchay l'homme"),
        ("word—word well-known snake_case", "word word well known snake case"),
        ("¿Qué? «Guillemets» „Anführung“ …", "qué guillemets anführung"),
        ("5 € + 20% = $6", "5 20 6"),
        ("ﬁne ＦＵＬＬ ½", "fine full 1 2"),
        ("STRASSE straße", "strasse straße"),
        ("e\u0301te\u0301 \u00e9t\u00e9", "été été"),
        ("हिन्दी, हिन्दी।", "हिन्दी हिन्दी"),
        ("、。！", ""),
        ("", ""),
    ],
)
def test_normalisation_removes_case_and_unicode_punctuation(text, expected):
    assert normalise(text) == expected


def test_normalising_twice_changes_nothing():
    generator = random.Random(2)
    alphabet = [chr(code) for code in range(0x20, 0x3000) if unicodedata.category(chr(code))[0] != "C"] + ["'", " "] * 500
    for _ in range(300):
        once = normalise("".join(generator.choices(alphabet, k=30)))
        assert normalise(once) == once
        assert not any(unicodedata.category(letter)[0] in "PS" for letter in once.replace("'", ""))


def test_hypotheses_meet_their_rows_whatever_the_order(corpus, capsys):
    assert run_score(corpus, "--json", corpus / "new" / "score.json") == 0
    report = json.loads((corpus / "new" / "score.json").read_text(encoding="utf-8"))
    scores = {metric: entry["score"] for metric, entry in report["metrics"].items()}
    # Raw: she, "no". | b, d | uh | zwei, of 3 + 4 + 0 + 2 words. Normalised: b, d | uh.
    assert scores["wer"] == pytest.approx(100 * 6 / 9)
    assert scores["wer_normalised"] == pytest.approx(100 * 3 / 9)
    assert scores["cer"] == pytest.approx(
        100 * sum(map(slow_distance, HYPOTHESES, REFERENCES)) / sum(map(len, REFERENCES))
    )
    assert scores["bleu"] == sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score
    assert scores["chrf"] == sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score
    assert report["num_sentences"] == 4
    assert list((corpus / "new").iterdir()) == [corpus / "new" / "score.json"]

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["metric", *scores]
    assert lines[1].split()[1:] == ["66.67", "4", report["metrics"]["wer"]["signature"]]
    assert f"version:{sacrebleu.__version__}" in lines[-1] and "tok:13a" in lines[-2]
    assert "norm:1" in lines[2] and "norm:no" in lines[1]


def test_only_the_metrics_asked_for_are_printed(corpus, capsys):
    assert run_score(corpus, "--metrics", "chrf", "wer") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["chrf", "wer", "wer_normalised"]


def test_the_best_of_an_n_best_list_is_scored(corpus):
    write_output(corpus / "nbest.txt", [2, 3, 0, 1], num_best=3)
    assert sorted(score.read_hypotheses([corpus / "nbest.txt"])) == list(enumerate(HYPOTHESES))


def test_shards_are_scored_together(corpus, capsys):
    write_output(corpus / "shard0.txt", [2, 0])
    write_output(corpus / "shard1.txt", [3, 1])
    assert run_score(corpus, "--metrics", "wer") == 0
    together = capsys.readouterr().out
    shards = [str(corpus / name) for name in ("shard0.txt", "shard1.txt")]
    arguments = ["score", "--hypotheses", *shards, "--manifest", str(corpus / "test.tsv"), "--metrics", "wer"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == together


@pytest.mark.parametrize(
    "rows, num_best, message",
    [
        ([0, 3], 1, "2 of 4 have none (first: 1 utt1, 2 utt2)"),
        ([0, 1, 2, 3, 1], 1, "1 of 4 have several (first: 1 utt1)"),
        ([0, 1, 2, 3, 3], 1, "1 of 4 have several (first: 3 utt3)"),
        ([0, 1, 2, 3, 3, 0], 2, "2 of 4 have several (first: 0 utt0, 3 utt3)"),
    ],
)
def test_missing_and_doubled_rows_are_errors(corpus, capsys, rows, num_best, message):
    write_output(corpus / "wrong.txt", rows, num_best)
    assert run_score(corpus, "--json", corpus / "score.json", output="wrong.txt") == 1
    error = capsys.readouterr().err
    assert message in error and "wrong.txt" in error and "test.tsv" in error and error.count("\n") == 1
    assert not (corpus / "score.json").exists()


def test_rows_beyond_the_manifest_are_an_error(corpus, capsys):
    manifest.write(corpus / "test.tsv", manifest.read(corpus / "test.tsv")[:2])
    assert run_score(corpus) == 1
    assert "2 are beyond its 2 rows (first: 2, 3)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, message",
    [
        (b"D-0\t-0.5\tone\nD-1\t-0.", ":2: a D- line needs row, score and text"),
        (b"no hypothesis\nH-0\t-0.5\tone\n", "no D- line"),
        (b"D-0\t-0.5\t\xff\n", "must be UTF-8"),
    ],
)
def test_unreadable_output_is_an_error_that_names_the_file(corpus, capsys, content, message):
    (corpus / "wrong.txt").write_bytes(content)
    assert run_score(corpus, output="wrong.txt") == 1
    error = capsys.readouterr().err
    assert message in error and "wrong.txt" in error


def test_line_separators_of_unicode_and_empty_texts_stay_in_their_hypothesis(tmp_path):
    (tmp_path / "out.txt").write_bytes("D-1\t-0.5\ta\u2028b\u0085c\td\nD-0\t-0.5\t\n".encode())
    assert score.read_hypotheses([tmp_path / "out.txt"]) == [(1, "a\u2028b\u0085c\td"), (0, "")]


def test_a_manifest_without_any_reference_text_is_an_error(corpus, capsys):
    utterances = [manifest.Utterance(f"utt{row}", "a.wav", 100, tgt_text="") for row in range(4)]
    manifest.write(corpus / "test.tsv", utterances)
    assert run_score(corpus, "--metrics", "bleu") == 1
    assert "all 4 references (tgt_text) are empty" in capsys.readouterr().err


def test_languages_are_scored_apart_and_their_mean_counts_them_alike(corpus, capsys):
    languages = ["de", "fr", "de", "de"]
    rows = [manifest.Utterance(f"utt{row}", "a.wav", 9, text, tgt_lang=lang) for row, (text, lang) in enumerate(zip(REFERENCES, languages))]
    manifest.write(corpus / "test.tsv", rows)
    assert run_score(corpus, "--by", "tgt_lang", "--json", corpus / "by.json") == 0
    report = json.loads((corpus / "by.json").read_text())
    together = capsys.readouterr().out
    for language in ("de", "fr"):
        chosen = [row for row, each in enumerate(languages) if each == language]
        alone = score.compute(list(score.METRICS), [HYPOTHESES[row] for row in chosen], [REFERENCES[row] for row in chosen])
        assert report["values"][language]["num_sentences"] == len(chosen)
        assert {name: value["score"] for name, value in report["values"][language]["metrics"].items()} == {each.metric: each.score for each in alone}
    for name, mean in report["mean"].items():
        assert mean["score"] == pytest.approx(sum(report["values"][language]["metrics"][name]["score"] for language in ("de", "fr")) / 2)
    lines = together.splitlines()
    assert lines[8].split() == ["by", "tgt_lang", "de", "(3)", "fr", "(1)", "mean"]
    assert lines[9].split()[1:] == [f"{report['values'][lang]['metrics']['wer']['score']:.2f}" for lang in ("de", "fr")] + [
        f"{report['mean']['wer']['score']:.2f}"
    ]
    assert run_score(corpus, "--by", "accent") == 1
    assert "--by must be a column of the manifest (id audio" in capsys.readouterr().err
