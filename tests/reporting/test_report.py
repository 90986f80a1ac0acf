"""`speechllm report` on synthetic runs: the numbers of the page, what it says about hostile texts and missing files, and its errors."""

import html
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import synthetic_runs
from scipy.stats import ttest_rel

from speechllm_plugin.commands import cli
from speechllm_plugin.data import manifest
from speechllm_plugin.outputs.generated_texts import read_in_rows
from speechllm_plugin.reporting.parts.verdict_part import _seeds
from speechllm_plugin.reporting.tables import formats
from speechllm_plugin.scoring import significance
from speechllm_plugin.scoring.holm import holm
from speechllm_plugin.scoring.metrics import METRICS
from speechllm_plugin.scoring.share import share
from speechllm_plugin.scoring.significance import Comparison

ROOT = Path(__file__).resolve().parents[2]
NUM_RESAMPLES = 300
FEW = ["--slices", "gender", "--no-audio", "--examples", "1"]  # for pages of which something else is looked at
SPLIT = synthetic_runs.SPLIT


def report(*arguments):
    return cli.main(["report", *map(str, arguments), "--resamples", str(NUM_RESAMPLES)])


def cells(page, table):
    """First cell of each row -> the texts of the others."""
    content = re.search(rf'<table id="table-{table}">(.*?)</table>', page, re.DOTALL)[1]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in re.findall(r"<tr>(.*?)</tr>", content, re.DOTALL)]
    texts = [[html.unescape(re.sub("<[^>]+>", "", cell)) for cell in row] for row in rows]
    return {row[0]: row[1:] for row in texts}


def edit(path, change):
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """dfp and xattn with two seeds each, recognition."""
    return synthetic_runs.make(tmp_path_factory.mktemp("runs") / "asr", seeds=2, recordings=True)


@pytest.fixture(scope="module")
def out(runs):
    folder = runs[0].parent / "out"
    assert report(f"dfp={runs[0]},{runs[1]}", f"xattn={runs[2]},{runs[3]}", "--out", folder / "report.html", "--tables", folder / "tables") == 0
    return folder


@pytest.fixture(scope="module")
def page(out):
    return (out / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def fresh(tmp_path):
    """One seed each, for tests that damage the files."""
    return synthetic_runs.make(tmp_path, utterances=12, training=50)


def statistics_of(folders, metric):
    utterances = manifest.read(folders[0].parent / "data" / f"{SPLIT}.tsv")
    texts = [read_in_rows([folder / f"generate-{SPLIT}.txt"], utterances, "").hypotheses for folder in folders]
    references, languages = [utterance.tgt_text for utterance in utterances], [utterance.tgt_lang for utterance in utterances]
    return np.stack([metric.statistics(each, references, languages) for each in texts]), utterances


def expected_row(formula, first, second, p_holm, both_tests):
    one, other = (significance.interval(formula, each, NUM_RESAMPLES) for each in (first, second))
    difference = significance.compare(formula, first, second, NUM_RESAMPLES, NUM_RESAMPLES)
    row = []
    for each in (one, other):
        row += [f"{formats.number(each.score)} ± {formats.number(each.deviation)}", formats.interval(each.low, each.high)]
    row += [f"{formats.difference(difference.difference)} ± {formats.number(difference.seed_deviation)}"]
    row += [formats.interval(difference.low, difference.high, signed=True)]
    if both_tests:
        row += [formats.difference(difference.relative, 1), formats.interval(difference.relative_low, difference.relative_high, 1, signed=True)]
        row += [formats.p_value(difference.p_bootstrap)]
    return [*row, formats.p_value(difference.p_randomisation), formats.p_value(p_holm)], difference.p_randomisation


def test_the_scores_of_the_page_are_those_of_the_metrics_and_the_tests(runs, page):
    found, names = cells(page, "scores"), ("wer_normalised", "wer", "cer_normalised", "cer")
    p_values = []
    for attempt in ("p-values", "rows"):
        adjusted = holm(p_values) if attempt == "rows" else [np.nan] * len(names)
        for name, p_holm in zip(names, adjusted):
            metric = METRICS[name]
            first, second = statistics_of(runs[:2], metric)[0], statistics_of(runs[2:], metric)[0]
            row, p_value = expected_row(metric.formula, first, second, p_holm, both_tests=True)
            p_values.append(p_value)
            if attempt == "rows":
                assert found[f"{metric.heading} ↓"] == row
    assert found["Parameters"][0] == found["Parameters"][2] == "33,123,456"


def test_the_slices_of_the_page_are_those_of_the_rows(runs, page):
    found, metric = cells(page, "slices"), METRICS["wer_normalised"]
    (first, utterances), (second, _) = statistics_of(runs[:2], metric), statistics_of(runs[2:], metric)
    for accent in ("us", "mexican"):
        rows = np.array([utterance.extra["accent"] == accent for utterance in utterances])
        row, _ = expected_row(share, first[:, rows], second[:, rows], np.nan, both_tests=False)
        assert found[accent][:-1] == [str(rows.sum()), *row[:-1]]
    assert found["non-native"] == ["0"] + ["–"] * 8  # an empty slice is shown


def test_the_page_says_what_it_is_about(page):
    utterances = "utterances <b>40</b>"
    for text in ("dfp against xattn on tst-COMMON", utterances, "(2 training seeds)", "Speech recognition", "WER norm. by duration"):
        assert text in page
    for heading in ("Accent", "Native speaker", "Gender", "Age", "Loss", "NLL", "CTC loss", "Recall of words"):
        assert f"<figcaption>{heading}" in page
    assert cells(page, "speed")["● dfp"][-2:] == ["1,812", "2,345"]
    assert "average.pt is not there" in page and "Silence and noise (8 recordings without speech)" in page
    assert "spk." in page and page.count("<audio ") == page.count("data:audio/mpeg;base64,") == 6


def test_nothing_is_loaded_from_anywhere(page):
    addresses = re.findall(r"""(?:src|href|action|data|poster|srcset)\s*=\s*["']([^"']*)""", page) + re.findall(r"url\(([^)]*)\)", page)
    assert addresses and all(address.startswith(("#", "data:")) for address in addresses)
    assert "<script" not in page and "@import" not in page
    assert "default-src 'none';" in html.unescape(page)
    assert re.findall("https?:", page) == []


def test_every_id_stands_once_and_every_link_finds_one(page):
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_tables_are_written_as_markdown_and_latex(out, page):
    names = {"scores", "durations", "slices", "words", "unseen_words", "failures", "speed"}
    assert {path.name for path in (out / "tables").iterdir()} == {f"{name}.{suffix}" for name in names for suffix in ("md", "tex")}
    score = cells(page, "scores")["WER ↓"][0]
    for suffix, expected in (("md", f"| {score} |"), ("tex", score.replace("±", r"$\pm$"))):
        text = (out / "tables" / f"scores.{suffix}").read_text(encoding="utf-8")
        assert expected in text.replace("**", "").replace(r"\textbf{", "").replace("}", "")


def test_the_same_command_gives_the_same_page(runs, out, page):
    assert report(f"dfp={runs[0]},{runs[1]}", f"xattn={runs[2]},{runs[3]}", "--out", out / "again.html") == 0
    again = (out / "again.html").read_text(encoding="utf-8")
    without_command = re.compile(r'<p class="note">speechllm_plugin .*')
    assert without_command.sub("", again) == without_command.sub("", page)


def test_a_system_is_as_good_as_itself_on_every_row(runs, tmp_path):
    assert report(f"a={runs[0]}", f"b={runs[0]}", "--out", tmp_path / "same.html", *FEW) == 0
    page = (tmp_path / "same.html").read_text(encoding="utf-8")
    assert "No significant difference in WER norm. between a and b." in page
    for table in ("scores", "slices", "words", "failures"):
        rows = [row for row in cells(page, table).values() if row[-2:] != ["–", "–"] and row[-1]][1:]
        assert rows and all(row[-2:] == ["1.000", "1.000"] for row in rows[1:])


@pytest.mark.parametrize("targets, expected", [(("en",), "significantly lower WER norm."), (("de",), "significantly higher BLEU")])
def test_the_verdict_names_the_winner_whichever_stands_first(tmp_path, targets, expected):
    good, bad = synthetic_runs.make(tmp_path, systems={"good": 0.02, "bad": 0.4}, targets=targets, training=60, silent=0)
    for order in ([good, bad], [bad, good]):
        names = {good: "good", bad: "bad"}
        assert report(*[f"{names[run]}={run}" for run in order], "--out", tmp_path / "r.html", *FEW) == 0
        page = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert f"good has {expected} than bad." in page and "good is significantly better" in page and "bad is better" not in page
        assert re.search(r"good is better on \d+ with significance", page)
        assert "what other seeds would give is unknown" in page


@pytest.mark.parametrize("number", [1, 3])
def test_one_system_has_no_differences_and_three_have_two(runs, tmp_path, number):
    assert report(*[f"s{index}={run}" for index, run in enumerate(runs[:number])], "--out", tmp_path / "r.html", *FEW) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count('class="verdict"') == max(1, number - 1)
    headings = re.search(r'<table id="table-scores">.*?</thead>', page, re.DOTALL)[0]
    assert ("first − system" in headings) == (number > 2) and ("s2" in page) == (number > 2)
    assert "<audio" not in page and "No sound" not in page


def test_of_four_systems_each_has_a_row_with_what_it_has_beside_others(runs, tmp_path):
    systems = [f"s{index}={run}" for index, run in enumerate(runs[:4])]
    assert report(*systems, "--out", tmp_path / "r.html", "--tables", tmp_path, *FEW, "--no-words", "--examples", 0) == 0
    assert report(systems[0], systems[3], "--out", tmp_path / "pair.html", "--tables", tmp_path / "pair", *FEW) == 0
    many, pair = ((folder / "scores.md").read_text(encoding="utf-8").splitlines() for folder in (tmp_path, tmp_path / "pair"))
    assert "first − system difference" in many[2]
    table = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in many if line.startswith("|")][2:]
    of_pair = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in pair if line.startswith("|")][2:]
    assert [row[1] for row in table] == ["s0", "s1", "s2", "s3"] * (len(of_pair))
    for number, (heading, *cells) in enumerate(of_pair):
        first, *_, last = table[4 * number : 4 * number + 4]
        assert first[:4] == [heading, "s0", *cells[:2]] and last[:4] == ["", "s3", *cells[2:4]]
        assert first[4:] == [""] * 7 and last[4:8] == cells[4:8]
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert 'class="words"' not in page
    assert 'class="utterance"' not in page and not (tmp_path / "unseen_words.md").exists()


@pytest.mark.parametrize("num_seeds", [2, 3, 5])
def test_the_verdict_warns_unless_a_paired_t_test_over_seeds_finds_a_difference(num_seeds):
    rng, num_warnings = np.random.default_rng(1), 0
    for _ in range(300):
        first, second = rng.normal(0, 1, num_seeds), rng.normal(1.5, 1, num_seeds)
        differences = first - second
        sentence = _seeds(Comparison(differences.mean(), -1.0, 1.0, 0.5, 0.5, differences.std(ddof=1)), num_seeds)
        assert f"varies by {formats.number(differences.std(ddof=1))} points" in sentence
        assert ("too much" in sentence) == (ttest_rel(first, second).pvalue >= 0.05)
        num_warnings += "too much" in sentence
    assert 0 < num_warnings < 300
    assert "what other seeds would give is unknown" in _seeds(Comparison(9.0, 8.0, 9.5, 0.001, 0.001, float("nan")), 1)


def test_translation_has_other_metrics_and_several_languages_a_table_of_their_own(tmp_path):
    runs = synthetic_runs.make(tmp_path, utterances=24, targets=("de", "fr"), training=60, silent=0)
    assert report(*runs, "--out", tmp_path / "r.html", *FEW) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert {"BLEU ↑", "chrF ↑", "TER ↓", "BLEU, mean ↑"} <= set(cells(page, "scores"))
    assert "de" in cells(page, "languages") and "Speech translation" in page
    assert "has no silence.tsv" in page


def test_texts_of_the_data_are_never_markup(fresh, tmp_path):
    hostile = '<script>alert("1")</script>'
    changes = {"test_0\t": f"{hostile}\t", "mexican": hostile, "indian": "</style>"}
    for old, new in changes.items():
        edit(tmp_path / "data" / f"{SPLIT}.tsv", lambda text, old=old, new=new: text.replace(old, new))
    for run in fresh:
        edit(run / f"generate-{SPLIT}.txt", lambda text: re.sub(r"(?m)^(D-\d+\t\S+\t).*$", rf"\1{hostile} {{{{ 7 * 7 }}}} $x$", text))
    arguments = [f"{hostile[:8]}={fresh[0]}", f"x={fresh[1]}", "--utterances", hostile, "--title", hostile, "--tables", tmp_path / "t"]
    assert report(*arguments, "--out", tmp_path / "r.html") == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<script" not in page and page.count("</style>") == 1 and "{{" in page
    assert f"<h1>{html.escape(hostile, quote=False)}" in page.replace("&#34;", '"')
    for path in (tmp_path / "t").glob("*.md"):
        assert "<script" not in re.sub(r"\\.", "", path.read_text(encoding="utf-8"))


def test_chosen_utterances_slices_and_speakers(fresh, tmp_path):
    speakers = "".join(f"spk.{number}\t{'high' if number % 2 else 'low'}\n" for number in range(synthetic_runs.NUM_SPEAKERS))
    (tmp_path / "speakers.tsv").write_text(f"speaker\tpitch\n{speakers}")
    arguments = [
        "--utterances",
        "test_3",
        "--examples",
        0,
        "--slices",
        "pitch",
        "gender",
        "--speakers",
        tmp_path / "speakers.tsv",
        "--metrics",
        "cer",
    ]
    assert report(*fresh, "--out", tmp_path / "r.html", *arguments) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert {"high", "low", "female"} <= set(cells(page, "slices")) and "us" not in cells(page, "slices")
    assert re.findall(r'<article class="utterance">\s*<h3>(.*?)</h3>', page) == ["test_3"]
    assert "pitch <b>" in page and "CER by slice" in page
    assert page.count("No sound: ") == 1 and "no such audio file" in page  # the recordings were never written


def test_missing_logs_and_training_texts_are_said(fresh, tmp_path):
    for run in fresh:
        (run / "train.log").unlink()
        (run / f"generate-{SPLIT}.log").unlink()
    (tmp_path / "data" / "train.tsv").unlink()
    (tmp_path / "data" / "config.yaml").unlink()
    assert report(*fresh, "--out", tmp_path / "r.html", "--slices", "gender") == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "No curves: no run has a train.log" in page and f"generate-{SPLIT}.log is not there" in page
    assert "which words training lacks" in page and "no config.yaml beside the manifest" in page


def test_the_hypotheses_of_a_run_without_targets_are_taken_as_they_are(fresh, tmp_path):
    edit(fresh[1] / f"generate-{SPLIT}.txt", lambda text: re.sub(r"(?m)^T-.*\n", "", text))
    assert report(*fresh, "--out", tmp_path / "r.html", *FEW) == 0


def test_a_report_without_checkpoints_loads_neither_torch_nor_fairseq(fresh, tmp_path):
    program = "import sys; sys.argv = ['speechllm', *sys.argv[1:]]; from speechllm_plugin.commands import cli; status = cli.main(); "
    program += "sys.exit(status or ', '.join({'torch', 'fairseq'} & set(sys.modules)) or 0)"
    command = [sys.executable, "-c", program, "report", *map(str, fresh), "--out", str(tmp_path / "r.html"), "--resamples", "50", *FEW]
    result = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)}, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
