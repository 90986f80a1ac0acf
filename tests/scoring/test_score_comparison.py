"""`speechllm score --against` and its resamples: both systems, their difference, p of both tests, and what users get wrong."""

import importlib.util
import json

import numpy as np
import pytest

from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest
from speechllm_plugin.scoring.metrics import METRICS
from speechllm_plugin.scoring.significance import compare

REFERENCES = [f"this is sentence {number} of the test" for number in range(20)]
FIRST = [text.replace("sentence", "sentences") if row % 3 else text for row, text in enumerate(REFERENCES)]
SECOND = [text.replace("this", "that") if row % 5 == 0 else text for row, text in enumerate(REFERENCES)]


def write_output(path, texts):
    path.write_text("".join(f"H-{row}\t-0.5\t▁x\nD-{row}\t-0.5\t{text}\n" for row, text in reversed(list(enumerate(texts)))), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    write_manifest(tmp_path, REFERENCES)
    write_output(tmp_path / "first.txt", FIRST)
    write_output(tmp_path / "second.txt", SECOND)
    return tmp_path


def write_manifest(folder, references, language="en", **columns):
    utterances = [manifest.Utterance(f"utt{row}", "a.wav", 100, text, tgt_lang=language, **columns) for row, text in enumerate(references)]
    manifest.write(folder / "test.tsv", utterances)


def run_score(folder, *options):
    files = ["--hypotheses", str(folder / "first.txt"), "--manifest", str(folder / "test.tsv")]
    return cli.main(["score", *files, *map(str, options)])


def test_two_systems_are_compared_in_every_metric(folder, capsys):
    options = ["--against", folder / "second.txt", "--resamples", 500, "--seed", 3, "--json", folder / "score.json"]
    assert run_score(folder, *options) == 0
    report = json.loads((folder / "score.json").read_text())
    assert report["against"]["hypotheses"] == [str(folder / "second.txt")] and list(report["against"]["metrics"]) == list(METRICS)
    for name, entry in report["against"]["metrics"].items():
        metric = METRICS[name]
        first, second = (metric.statistics(texts, REFERENCES, ["en"] * 20)[None] for texts in (FIRST, SECOND))
        expected = compare(metric.formula, first, second, 500, 500, 3)
        expected = {name: None if np.isnan(value) else value for name, value in expected._asdict().items() if name != "seed_deviation"}
        assert entry == {"score": metric.score(SECOND, REFERENCES, ["en"] * 20), **expected}
        assert entry["difference"] == pytest.approx(report["metrics"][name]["score"] - entry["score"])
    lines = capsys.readouterr().out.splitlines()
    header, wer = lines[9], lines[10]
    assert header.split()[:4] == ["against", "score", "other", "difference"]
    found = report["against"]["metrics"]["wer"]
    numbers = [f"{100 * 13 / 140:.2f}", f"{100 * 4 / 140:.2f}", f"+{100 * 9 / 140:.2f}", f"[{found['low']:.2f},", f"{found['high']:.2f}]"]
    numbers += ["+225.00", f"[{found['relative_low']:.2f},", f"{found['relative_high']:.2f}]"]
    assert wer.split() == ["wer", *numbers, f"{found['p_bootstrap']:.4f}", f"{found['p_randomisation']:.4f}"]
    assert lines[-1].startswith("p: ") and "500 resamples" in lines[-1] and "500 random exchanges" in lines[-1]


def test_a_system_compared_with_itself_gives_p_1(folder, capsys):
    assert run_score(folder, "--against", folder / "first.txt", "--metrics", "wer", "bleu") == 0
    for line in capsys.readouterr().out.splitlines()[-4:-1]:
        assert line.split()[3:] == [*["+0.00", "[0.00,", "0.00]"] * 2, "1.0000", "1.0000"]


def test_without_a_second_system_there_is_no_comparison(folder, capsys):
    assert run_score(folder, "--json", folder / "score.json", "--metrics", "wer") == 0
    assert "against" not in json.loads((folder / "score.json").read_text()) and "against" not in capsys.readouterr().out


def test_few_sentences_are_exchanged_in_all_ways_and_one_has_no_interval(folder, capsys):
    for number, interval in ((3, "["), (1, "-")):
        write_manifest(folder, REFERENCES[:number])
        for name, texts in (("first", FIRST), ("second", SECOND)):
            write_output(folder / f"{name}.txt", texts[:number])
        assert run_score(folder, "--against", folder / "second.txt", "--metrics", "wer", "--json", folder / "score.json") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[1].split()[2].startswith(interval) and f"among all {2**number} exchanges" in lines[-1]
    assert json.loads((folder / "score.json").read_text())["metrics"]["wer"]["low"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([*SECOND, "one more"], "against {test}: every hypothesis needs a row of the manifest, but 1 are beyond its 20 rows (first: 20)"),
        (SECOND[:-2], "against {test}: every row needs one decoding, but 2 of 20 have none (first: 18 utt18, 19 utt19)"),
        (b"D-0\t-0.5\t\xff\n", ": must be UTF-8"),
        (b"no hypothesis\n", ": no D- line"),
    ],
)
def test_another_test_sets_hypotheses_are_an_error_that_names_their_file(folder, capsys, content, message):
    path = folder / "other.txt"
    path.write_bytes(content) if isinstance(content, bytes) else write_output(path, content)
    assert run_score(folder, "--against", path, "--json", folder / "score.json") == 1
    error = capsys.readouterr().err
    assert f"{path}" in error and message.format(test=folder / "test.tsv") in error and "first.txt" not in error
    assert not (folder / "score.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resamples", 0], "--resamples must be from 1 to 1,000,000, but is 0"),
        (["--seed", -1], "--seed must not be negative, but is -1"),
        (["--metrics", "comet"], "COMET needs the source of every row, but src_text is empty in 20 of 20 rows"),
    ],
)
def test_wrong_options_are_errors(folder, capsys, options, message):
    assert run_score(folder, *options) == 1
    assert message in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("comet") is not None, reason="COMET is installed")
def test_comet_needs_its_package(folder, capsys):
    write_manifest(folder, REFERENCES, src_text="ein Satz")
    assert run_score(folder, "--metrics", "comet") == 1
    assert "pip install unbabel-comet" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("MeCab") is not None, reason="sacreBLEU's tokenizer for Japanese is installed")
def test_a_target_language_whose_tokenizer_is_missing_says_what_to_install(folder, capsys):
    write_manifest(folder, REFERENCES, language="ja")
    assert run_score(folder, "--metrics", "bleu") == 1
    assert "pip install sacrebleu[ja]" in capsys.readouterr().err
    assert run_score(folder, "--metrics", "wer", "chrf", "ter") == 0


def test_metrics_are_checked_before_there_is_any_output(tmp_path, capsys):
    def check(language, *metrics):
        write_manifest(tmp_path, REFERENCES, language=language, src_text="a sentence")
        status = cli.main(["score", "--check", "--manifest", str(tmp_path / "test.tsv"), "--metrics", *metrics])
        return status, "".join(capsys.readouterr())

    assert check("de", "bleu", "wer") == (0, f"{tmp_path / 'test.tsv'}: bleu wer can be computed\n")
    if importlib.util.find_spec("MeCab") is None:
        assert check("ja", "bleu")[0] == 1 and "pip install sacrebleu[ja]" in check("ja", "bleu")[1]
    if importlib.util.find_spec("comet") is None:
        assert check("de", "comet")[0] == 1 and "pip install unbabel-comet" in check("de", "comet")[1]
    assert cli.main(["score", "--manifest", str(tmp_path / "test.tsv")]) == 1
    assert "--hypotheses must name the output of fairseq-generate" in capsys.readouterr().err
