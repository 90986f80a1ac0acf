"""`speechllm score`: the join of fairseq-generate's output with the manifest, the table, languages, and what users get wrong."""

import json
import unicodedata

import pytest
import sacrebleu

from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest
from speechllm_plugin.outputs.generated_texts import read_in_rows
from speechllm_plugin.scoring.metrics import METRICS
from speechllm_plugin.scoring.significance import interval

REFERENCES = ['She said "no".', "a b c d", "", "Zwei Wörter"]
HYPOTHESES = ["she said no", "a x c", "uh", "zwei Wörter"]


@pytest.fixture
def corpus(tmp_path):
    """A manifest of REFERENCES and the output of fairseq-generate for it, longest first as fairseq does."""
    utterances = [manifest.Utterance(id=f"utt{row}", audio=f"{row}.wav", n_frames=100 + row, tgt_text=text) for row, text in enumerate(REFERENCES)]
    manifest.write(tmp_path / "test.tsv", utterances)
    write_output(tmp_path / "generate-test.txt", [3, 1, 0, 2])
    return tmp_path


def write_output(path, rows, num_best=1):
    lines = ["2026-01-01 00:00:00 | INFO | fairseq_cli.generate | {'_name': None, 'beam': 5}"]
    for row in rows:
        lines.append(f"T-{row}\ttokenised <unk> of {row}")  # says nothing about the reference
        for rank in range(num_best):
            text = HYPOTHESES[row] if rank == 0 else f"worse {rank}"
            lines += [f"H-{row}\t-{rank}.5\t▁pieces", f"D-{row}\t-{rank}.5\t{text}", f"P-{row}\t-0.1 -0.2"]
    lines.append("2026-01-01 00:00:01 | INFO | fairseq_cli.generate | Translated 4 sentences (9 tokens)")
    lines.append("Generate test with beam=5: BLEU4 = 12.00")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def run_score(folder, *options, output="generate-test.txt"):
    return cli.main(["score", "--hypotheses", str(folder / output), "--manifest", str(folder / "test.tsv"), *map(str, options)])


def test_hypotheses_meet_their_rows_whatever_the_order(corpus, capsys):
    assert run_score(corpus, "--json", corpus / "new" / "score.json") == 0
    report = json.loads((corpus / "new" / "score.json").read_text(encoding="utf-8"))
    scores = {metric: entry["score"] for metric, entry in report["metrics"].items()}
    # Raw: she, "no". | b, d | uh | zwei, of 3 + 4 + 0 + 2 words. Normalised: b, d | uh.
    assert scores["wer"] == pytest.approx(100 * 6 / 9)
    assert scores["wer_normalised"] == pytest.approx(100 * 3 / 9)
    # S, two quotation marks, the full stop | b, d and a space | u, h | Z
    assert scores["cer"] == pytest.approx(100 * (4 + 3 + 2 + 1) / sum(map(len, REFERENCES)))
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score, abs=1e-9)
    assert scores["chrf"] == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score, abs=1e-9)
    assert scores["ter"] == pytest.approx(sacrebleu.corpus_ter(HYPOTHESES, [REFERENCES]).score, abs=1e-9)
    assert report["num_sentences"] == 4 and list(scores) == list(METRICS)
    assert list((corpus / "new").iterdir()) == [corpus / "new" / "score.json"]

    for name, entry in report["metrics"].items():
        metric = METRICS[name]
        expected = interval(metric.formula, metric.statistics(HYPOTHESES, REFERENCES, [""] * 4)[None])
        assert (entry["low"], entry["high"]) == (expected.low, expected.high) and entry["signature"] == metric.signature([""])
    assert (report["num_resamples"], report["seed"], report["confidence"]) == (10_000, 12345, 0.95)

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["metric", *scores, "References", "Ceiling:"] and "without text: 1." in lines[-2]
    del lines[-2:]
    wer = report["metrics"]["wer"]
    assert lines[1].split() == ["wer", "66.67", f"[{wer['low']:.2f},", f"{wer['high']:.2f}]", "4", wer["signature"]]
    assert f"version:{sacrebleu.__version__}" in lines[-1] and "tok:13a" in lines[-3]
    assert "norm:3" in lines[2] and "norm:no" in lines[1]


def test_only_the_metrics_asked_for_are_printed(corpus, capsys):
    assert run_score(corpus, "--metrics", "chrf", "wer") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["chrf", "wer", "wer_normalised", "References", "Ceiling:"]


def test_the_best_of_an_n_best_list_is_scored(corpus):
    write_output(corpus / "nbest.txt", [2, 3, 0, 1], num_best=3)
    assert read_in_rows([corpus / "nbest.txt"], manifest.read(corpus / "test.tsv"), "test.tsv").hypotheses == HYPOTHESES


def test_hypotheses_for_another_test_set_are_told_by_their_targets(corpus, capsys):
    output = corpus / "generate-test.txt"
    for targets, is_same in ((["She said “no”", "a b c d", "", "zwei wörter"], True), (["one", "two", "three", "four"], False)):
        rows = iter(targets[row] for row in [3, 1, 0, 2])
        output.write_text(
            "\n".join(f"T-{line[2]}\t{next(rows)}" if line.startswith("T-") else line for line in output.read_text().splitlines()) + "\n"
        )
        assert run_score(corpus) == (0 if is_same else 1)
        assert ("hypotheses for another test set: 4 of 4 targets differ" in capsys.readouterr().err) != is_same


def test_a_file_that_ends_within_a_hypothesis_is_an_error(corpus, capsys):
    write_output(corpus / "generate-test.txt", [0, 1, 2, 3])
    text = (corpus / "generate-test.txt").read_text()
    (corpus / "generate-test.txt").write_text(text[: text.index("D-3") + len("D-3\t-0.5\tzwei W")])
    assert run_score(corpus) == 1 and "the file ends within this line" in capsys.readouterr().err


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
        (b"D-0\t-0.5\tone\nD-1\t-0.\n", ":2: a D- line needs row, score and text"),
        (b"no hypothesis\nH-0\t-0.5\tone\n", "no D- line"),
        (b"D-0\t-0.5\t\xff\n", "must be UTF-8"),
    ],
)
def test_unreadable_output_is_an_error_that_names_the_file(corpus, capsys, content, message):
    (corpus / "wrong.txt").write_bytes(content)
    assert run_score(corpus, output="wrong.txt") == 1
    error = capsys.readouterr().err
    assert message in error and "wrong.txt" in error


def test_a_manifest_without_any_reference_text_is_an_error(corpus, capsys):
    utterances = [manifest.Utterance(f"utt{row}", "a.wav", 100, tgt_text="") for row in range(4)]
    manifest.write(corpus / "test.tsv", utterances)
    assert run_score(corpus, "--metrics", "bleu") == 1
    assert "all 4 references (tgt_text) are empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([", .", "—", "!", "?"], ["--metrics", "wer"], "wer_normalised cannot be computed: the 4 references (tgt_text) have no text that counts"),
        (REFERENCES, ["--metrics", "wer", "--by", "id"], "wer wer_normalised cannot be computed: the references with id 'utt2' (tgt_text)"),
    ],
)
def test_references_without_what_a_metric_counts_are_an_error(corpus, capsys, texts, options, message):
    utterances = [manifest.Utterance(f"utt{row}", "a.wav", 100, tgt_text=text) for row, text in enumerate(texts)]
    manifest.write(corpus / "test.tsv", utterances)
    assert run_score(corpus, *options) == 1
    assert message in capsys.readouterr().err


def test_languages_are_scored_apart_and_their_mean_counts_them_alike(corpus, capsys):
    languages = ["de", "fr", "de", "de"]
    rows = [manifest.Utterance(f"utt{row}", "a.wav", 9, text, tgt_lang=lang) for row, (text, lang) in enumerate(zip(REFERENCES, languages))]
    manifest.write(corpus / "test.tsv", rows)
    assert run_score(corpus, "--by", "tgt_lang", "--json", corpus / "by.json") == 0
    report = json.loads((corpus / "by.json").read_text())
    together = capsys.readouterr().out
    for language in ("de", "fr"):
        chosen = [row for row, each in enumerate(languages) if each == language]
        texts = [[every[row] for row in chosen] for every in (HYPOTHESES, REFERENCES, languages)]
        assert report["values"][language]["num_sentences"] == len(chosen)
        for name, entry in report["values"][language]["metrics"].items():
            assert entry == {"score": METRICS[name].score(*texts), "signature": METRICS[name].signature([language])}
    for name, mean in report["mean"].items():
        assert mean["score"] == pytest.approx(sum(report["values"][language]["metrics"][name]["score"] for language in ("de", "fr")) / 2)
    lines = [line for line in together.splitlines() if not line.startswith("References")]
    assert lines[9].split() == ["by", "tgt_lang", "de", "(3)", "fr", "(1)", "mean"]
    assert lines[10].split()[1:] == [f"{report['values'][lang]['metrics']['wer']['score']:.2f}" for lang in ("de", "fr")] + [
        f"{report['mean']['wer']['score']:.2f}"
    ]
    assert run_score(corpus, "--by", "accent") == 1
    assert "--by must be a column of the manifest (id audio" in capsys.readouterr().err


CHINESE = ["你好，世界！今天天气很好。", "他说：“是的”（也许）……对吗？", "价格是＄１００，太贵了！"]


def test_the_ceiling_is_what_the_references_score_as_the_vocabulary_writes_them(tmp_path, capsys):
    """As SentencePiece's NFKC rules wrote Chinese: full-width punctuation becomes half-width."""
    rows = [manifest.Utterance(f"u{row}", f"{row}.wav", 100, text, tgt_lang="zh-CN") for row, text in enumerate(CHINESE)]
    manifest.write(tmp_path / "test.tsv", rows)

    def score_with_targets(targets):
        lines = [f"T-{row}\t{target}\nD-{row}\t-0.5\t{target}" for row, target in enumerate(targets)]
        (tmp_path / "generate-test.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        assert run_score(tmp_path, "--json", tmp_path / "score.json") == 0
        return capsys.readouterr().out, json.loads((tmp_path / "score.json").read_text(encoding="utf-8"))

    out, report = score_with_targets(CHINESE)
    assert "Ceiling" not in out and "ceiling" not in report
    assert report["metrics"]["bleu"]["score"] == pytest.approx(100) and report["metrics"]["cer"]["score"] == 0
    half_width = [unicodedata.normalize("NFKC", text) for text in CHINESE]
    out, report = score_with_targets(half_width)
    assert report["ceiling"] == {name: report["metrics"][name]["score"] for name in ("wer", "cer", "bleu", "chrf", "ter")}
    assert report["ceiling"]["bleu"] < 70
    (line,) = [line for line in out.splitlines() if line.startswith("Ceiling: ")]
    assert f"bleu {report['ceiling']['bleu']:.2f}" in line and "it changes 3 of 3 (row 0: '你好，世界！今天天气很好。' becomes '你好,世界!" in line


def test_outputs_without_targets_have_no_ceiling(corpus, capsys):
    path = corpus / "generate-test.txt"
    path.write_text(
        "".join(line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if not line.startswith("T-")), encoding="utf-8"
    )
    assert run_score(corpus) == 0
    assert "Ceiling" not in capsys.readouterr().out
