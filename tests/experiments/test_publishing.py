"""What a benchmark publishes: tables and cells where a page asks for them, reports that quote nothing, and nothing at all after an error."""

import json
import shutil

import pytest

from speechllm_plugin.experiments import publishing, score_picture

PAGE = """# Results

| table | state |
|---|---|
| Czech | not run <!-- fillets/asr-cs-en --> |
| Dutch | not run <!-- fillets/asr-nl-en --> |
| search | not run <!-- fillets-search --> |
| teacher | not run <!-- fillets/st-cs-en --> |

<!-- tables fillets/asr-cs-en -->
Not run.
<!-- end -->
<!-- tables fillets/asr-nl-en -->
Not run.
<!-- end -->
<!-- stress fillets/asr-cs-en -->
<!-- end -->
"""
SCORES = """**Scores on test**

| metric | system | score ± seeds | 95% interval | first − system |
| :-- | :-- | --: | --: | --: |
| WER norm. ↓ | row5\\_dfp | 95.68 ± 1.06 | [93.58, 97.77] |  |
|  | fairseq | 1,103.02 ± 10.08 | [981.18, 1,105.16] | **−21.85 ± 9.07** |
| WER ↓ | row5\\_dfp | 96.40 ± 0.85 | [94.36, 98.46] |  |
| chrF ↑ | row5\\_dfp | −0.30 | [−1.00, 0.50] |  |
| Parameters | row5\\_dfp | 16,846,231 |  |  |
"""
HARDER = (("", 50), ("-120s", 70), ("-30s", 60), ("-pink0dB", 90), ("-pink10dB", 80))
RATES = ("wer", "wer_normalised", "cer", "cer_normalised")
SCORES_OF_TWO = """| metric | row5\\_dfp score ± seeds | row5\\_dfp 95% interval | B score | B 95% interval | A − B difference |
| :-- | --: | --: | --: | --: | --: |
| WER norm. ↓ | 99.10 ± 1.26 | [97.08, 101.34] | **89.17** | [86.21, 92.10] | **+9.93** |
| Parameters | 16 |  | 17 |  |  |
"""
TEXT = "Jak se dostaneme ven?"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/benchmark.md").write_text(PAGE)
    results = tmp_path / "experiments/fillets/asr-cs-en"
    for name in ("data", "tables", "tables-peer"):
        (results / name).mkdir(parents=True)
    (results / "data/test.tsv").write_text(f"id\taudio\tn_frames\ttgt_text\tsrc_text\na\ta.ogg\t100\t{TEXT}\t{TEXT}\n")
    (results / "report.html").write_text("<p>WER 50 <b>against</b> 60</p>")
    (results / "tables/scores.md").write_text("**Scores**\n\n| WER |\n|---|\n| 50 |\n")
    (results / "tables-peer/scores.md").write_text("**Scores of the peer**\n")
    return tmp_path


def publish(folder, *arguments):
    publishing.main(str(folder / "experiments"), "--page", str(folder / "docs/benchmark.md"), *arguments)
    return (folder / "docs/benchmark.md").read_text()


def test_a_page_gets_what_there_is_and_keeps_the_rest(folder):
    search, teacher = folder / "experiments/fillets-search", folder / "experiments/fillets/st-cs-en/row5-kd-own"
    search.mkdir()
    (search / "best.txt").write_text("# MODEL FLAG...: the best wer on dev of each model\n# wer 71.00 of 6 settings\nrow5 --lr 2e-3\n")
    teacher.mkdir(parents=True)
    metrics = {name: {"score": 20.0 + number, "low": 18.0, "high": 22.5} for number, name in enumerate(("bleu", "chrf", "ter"))}
    (teacher / "score-test.json").write_text(json.dumps({"metrics": metrics}))
    row4 = folder / "experiments/fillets/asr-cs-en/row4-seed1"
    row4.mkdir()
    (row4.parent / "row5-seed1").mkdir()  # not decoded on harder sets
    row3 = row4.parent / "row3-seed1"
    row3.mkdir()  # could be decoded on one of them
    few = [(row4.parent / "row5-seed1/score-test", 40), (row3 / "score-test", 50), (row3 / "score-test-30s", 60)]
    for path, score in (*few, *((row4 / f"score-test{name}", score) for name, score in HARDER)):
        entry = {"score": score, "low": 50, "high": 95}
        path.with_name(f"{path.name}.json").write_text(json.dumps({"metrics": dict.fromkeys(RATES, entry), "num_sentences": score}))
    page = publish(folder, "--no-pictures")
    heading = " | ".join(
        f"{name} ({size} utterances)" for name, size in (("plain", 50), ("30s", 60), ("120s", 70), ("pink0dB", 90), ("pink10dB", 80))
    )
    assert f"| metric | system | {heading} |\n|" in page and page.count("`row4-seed1`") == 2 and "row5-seed1" not in page
    assert "| WER norm. | `row3-seed1` | 50.00 [50.00, 95.00] | 60.00 [50.00, 95.00] | – | – | – |" in page
    assert "| WER norm. | `row4-seed1` | 50.00 [50.00, 95.00] | 60.00 [50.00, 95.00] | 70.00" in page and "| CER norm. | `row4-seed1` |" in page
    assert "| Czech | [report](benchmark/asr-cs-en.html) <!-- fillets/asr-cs-en --> |" in page
    assert "| Dutch | not run <!-- fillets/asr-nl-en --> |" in page
    assert "| search | `row5 --lr 2e-3`: wer 71.00 of 6 settings on dev <!-- fillets-search --> |" in page
    assert "| `row5-kd-own`, test: BLEU 20.00 [18.00, 22.50], chrF 21.00 [18.00, 22.50] <!--" in page
    first, second = page.split("<!-- tables ")[1:3]
    assert "| 50 |" in first and "**Scores of the peer**" in first and "Not run." not in first and second.count("Not run.") == 1
    assert (folder / "docs/benchmark/asr-cs-en.html").read_text().startswith("<p>WER 50")
    assert publish(folder, "--no-pictures") == page


def test_a_score_of_too_few_sentences_has_an_unknown_interval(folder):
    model = folder / "experiments/fillets/st-cs-en/row5"
    model.mkdir(parents=True)
    (model / "score-test.json").write_text(json.dumps({"metrics": {"bleu": {"score": 20.0, "low": None, "high": None}}}))
    assert "| `row5`, test: BLEU 20.00 [unknown, unknown] <!--" in publish(folder, "--no-pictures")


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("<p>Jak  se <i>dostaneme</i> VEN?</p>", "quotes the text of a of"),
        ('<article class="utterance">', "must hold no text or sound"),
        ('<span class="path">/somewhere/asr</span>', "names a folder of this machine"),
    ],
)
def test_a_report_that_may_not_be_published_changes_nothing(folder, addition, message):
    with (folder / "experiments/fillets/asr-cs-en/report.html").open("a") as file:
        file.write(addition)
    with pytest.raises(ValueError, match=message):
        publish(folder, "--no-pictures")
    assert (folder / "docs/benchmark.md").read_text() == PAGE and not (folder / "docs/benchmark").exists()


def test_a_report_whose_data_are_gone_or_no_results_are_errors(folder):
    shutil.rmtree(folder / "experiments/fillets/asr-cs-en/data")
    with pytest.raises(ValueError, match="has no manifest"):
        publish(folder, "--no-pictures")
    shutil.rmtree(folder / "experiments/fillets")
    with pytest.raises(ValueError, match="has no results for .*, which names fillets/asr-cs-en"):
        publish(folder, "--no-pictures")


def test_a_picture_shows_every_system_by_every_metric(folder):
    results = folder / "experiments/fillets/asr-cs-en"
    (results / "report.html").write_text("<title>Czech &amp; more</title>")
    (results / "tables/scores.md").write_text(SCORES)
    found = score_picture.read(SCORES)
    assert list(found) == ["WER norm. ↓", "WER ↓", "chrF ↑"]
    assert found["WER norm. ↓"] == [("row5_dfp", 95.68, 93.58, 97.77), ("fairseq", 1103.02, 981.18, 1105.16)] and found["chrF ↑"] == [
        ("row5_dfp", -0.3, -1.0, 0.5)
    ]
    assert "Compared with `row5_dfp`:\n\n**Scores on test**" in publish(folder)
    assert (folder / "docs/benchmark/asr-cs-en.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_two_systems_reads_the_columns_of_both(folder):
    (folder / "experiments/fillets/asr-cs-en/tables/scores.md").write_text(SCORES_OF_TWO)
    assert score_picture.read(SCORES_OF_TWO) == {"WER norm. ↓": [("row5_dfp", 99.10, 97.08, 101.34), ("B", 89.17, 86.21, 92.10)]}
    assert "Compared with `row5_dfp`:" in publish(folder) and (folder / "docs/benchmark/asr-cs-en.png").is_file()


def test_pictures_need_matplotlib(folder, monkeypatch):
    monkeypatch.setattr(score_picture, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pictures need matplotlib"):
        publish(folder)
    assert (folder / "docs/benchmark.md").read_text() == PAGE


def test_scores_without_intervals_cannot_be_drawn_and_change_nothing(folder):
    with pytest.raises(ValueError, match="tables/scores.md: has no score with an interval to draw"):
        publish(folder)
    assert (folder / "docs/benchmark.md").read_text() == PAGE and not (folder / "docs/benchmark").exists()


def test_the_projects_page_names_results_in_cells_and_tables():
    from commands import ROOT

    text = (ROOT / publishing.PAGE).read_text()
    assert len(publishing._CELL.findall(text)) >= 8 and "fillets/asr-cs-en" in [folder for _, _, folder, _ in publishing._BLOCK.findall(text)]
