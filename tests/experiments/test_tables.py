"""The tables of finished experiments: a study's beside the paper's figures, the summary of a recipe, and that of throughput."""

import json

import pytest

from speechllm_plugin.experiments import paper_figures, study_table, summary_table, throughput
from speechllm_plugin.experiments.study_table import Study

TRANSLATED = "Translated 200 sentences (1,234 tokens) in 2.0s ({speed:.2f} sentences/s, 617.00 tokens/s)\n"
EPOCH = (
    '2026-01-01 | INFO | train | {{"epoch": {epoch}, "train_loss": "5.1", "train_frames_per_second": "{speed}", "train_num_updates": "{updates}"}}\n'
)


@pytest.fixture
def finish(tmp_path):
    """A finished experiment: OUT/NAME with logs and scores."""

    def run(name, split, scores, speed=100.0, values=None, parameters="1,236,059", by="src_lang"):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        epochs = EPOCH.format(epoch=1, speed="9000", updates=10) + EPOCH.format(epoch=2, speed="11000.5", updates=20)
        (folder / "train.log").write_text(f"num. shared model params: {parameters} (num. trained: 1)\n{epochs}")
        (folder / f"generate-{split}.log").write_text(f"$ fairseq-generate {tmp_path}/data --path x\n{TRANSLATED.format(speed=speed)}")
        report = {"metrics": {metric: {"score": score} for metric, score in scores.items()}}
        if values:
            of_all = {metric: {"score": score + 5} for metric, score in scores.items()}  # sentences of all languages together
            report = {"metrics": of_all, "by": by, "mean": report["metrics"]}
            report["values"] = {language: {"metrics": {metric: {"score": score} for metric in scores}} for language, score in values.items()}
        (folder / f"score-{split}.json").write_text(json.dumps(report))
        return folder

    return run


MODELS = ["row1_xattn_transformer", "row5_dfp_conformer", "row6_decoder_only_32", "small_dfp_conformer"]


@pytest.fixture
def study_folder(finish, tmp_path):
    for seed, (wer, bleu) in enumerate([(12.0, 22.0), (13.0, 24.0)], 1):
        finish(f"mustc/asr-en-de/row1_xattn_transformer-seed{seed}", "tst-COMMON", {"wer": 20.0, "wer_normalised": wer})
        finish(f"mustc/st-en-de/row1_xattn_transformer-seed{seed}", "tst-COMMON", {"bleu": bleu, "chrf": 50.0}, speed=100)
    finish("mustc/st-en-de/row5_dfp_conformer-seed1", "tst-COMMON", {"bleu": 25.25, "chrf": 51.0}, speed=97.4, parameters="108,584,329")
    finish("mustc/joint-en-de/small_dfp_conformer-seed1", "tst-COMMON_asr", {"wer": 9.0, "wer_normalised": 8.0})
    finish("mustc/joint-en-de/small_dfp_conformer-seed1", "tst-COMMON", {"bleu": 20.0, "chrf": 40.0})
    languages = {"ca": 10.0, "de": 20.0, "es": 30.0, "fr": 40.0, "cy": 90.0}
    finish("covost2/asr-ca+cy+de+es+fr-en/row1_xattn_transformer-seed1", "test", {"wer_normalised": 38.0}, values=languages)
    return tmp_path


def test_a_study_stands_beside_the_papers_figures(study_folder):
    lines = study_table.table(Study(study_folder, MODELS[:3], ["1", "2"], None))
    assert lines == [
        "| row | parameters (mustc/st-en-de) | CoVoST2 asr ca+cy+de+es+fr-en WER | MuST-C asr en-de WER | MuST-C joint asr en-de WER "
        "| MuST-C joint en-de BLEU | MuST-C st en-de BLEU | decoding speed (mustc/st-en-de) |",
        "|---|---|---|---|---|---|---|---|",
        "| row1_xattn_transformer | 1,236,059 | 25.0 (23.7) | 12.5 ± 0.7 (12.1) | – | – | 23.0 ± 1.4 (22.0) | 1.00 (1) |",
        "| row5_dfp_conformer | 108,584,329 | – (19.9) | – (10.3) | – | – | 25.2 (25.4) | 0.97 (0.94) |",
        "| row6_decoder_only_32 | – | – (24.3) | – (13.2) | – | – | – (22.2) | – (0.7) |",
        "",
        "* WER after removing punctuation; of multilingual models the mean over languages (CoVoST2: ca, de, es, fr).",
        "* Seeds: 1, 2; mean ± standard deviation.",
        "* Decoding speed: sentences per second of fairseq-generate relative to row 1, on whatever else the machine did.",
        "* In brackets: the figures of Lam et al. 2025.",
    ]


def test_with_other_settings_the_papers_figures_are_left_out(study_folder, capsys):
    study_table.write(Study(study_folder, MODELS, ["1"], "digits_study.sh"))
    printed, lines = capsys.readouterr().out.splitlines(), (study_folder / "table.md").read_text().splitlines()
    assert printed == [*lines, "", str(study_folder / "table.md")]
    assert "MuST-C st en-de BLEU | MuST-C st en-de chrF |" in lines[0]
    assert lines[2].endswith("| 25.0 | 12.0 | – | – | – | 22.0 | 50.0 | 1.00 |")
    assert lines[5].endswith("| – | – | 8.0 | 20.0 | 40.0 | – | – | – |")
    assert lines[7].startswith("* Trained with digits_study.sh, not with the paper's settings: the paper's figures are not comparable")
    assert lines[9] == "* Seeds: 1." and "In brackets" not in lines[-1]


def test_a_model_of_some_of_the_reported_languages_has_the_mean_of_its_own(finish, tmp_path):
    finish("covost2/asr-cy+de-en/row1_xattn_transformer-seed1", "test", {"wer_normalised": 33.0}, values={"cy": 46.0, "de": 20.0})
    table = study_table.table(Study(tmp_path, MODELS[:1], ["1"], "small_cpu.sh"))
    assert table[2] == "| row1_xattn_transformer | 1,236,059 | 33.0 | 1.00 |"


def test_a_study_without_scores_has_no_table(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path}: no experiment has been scored yet"):
        study_table.table(Study(tmp_path, MODELS, ["1"], None))


@pytest.mark.parametrize(
    ("corpus", "task", "languages", "bleu_or_wer_of_row1"),
    [
        ("mustc", "asr", "en-de", 12.1),
        ("mustc", "st", "en-es", 26.9),
        ("mustc", "st", "en-de", 22.0),
        ("mustc", "st", "en-de+es+fr+it+nl+pt+ro+ru", 25.1),
        ("mustc", "st", "en-fr", None),
        ("mustc", "st", "en-de+fr", None),
        ("mustc", "joint", "en-de", None),
        ("covost2", "asr", "ca+de-en", 23.7),
        ("covost2", "st", "ca+de-en", 25.6),
        ("covost2", "st", "en-de", None),
        ("europarl", "asr", "en-de", None),
    ],
)
def test_the_papers_figures_stand_where_it_has_the_task(corpus, task, languages, bleu_or_wer_of_row1):
    column = paper_figures.column_of(corpus, task, languages)
    assert (column is None and bleu_or_wer_of_row1 is None) or paper_figures.PAPER_SCORES["row1"][column] == bleu_or_wer_of_row1


def test_rows_are_known_by_the_names_of_model_files():
    names = ["row5.1_dfp_conformer_compressed", "table3_row2_dfp_transformer_not_causal", "small_dfp_conformer"]
    assert [paper_figures.row_of(name) for name in names] == ["row5.1", "table3_row2", None]


def test_a_summary_has_a_line_per_experiment_and_where_its_files_are(finish, capsys):
    first = finish("asr/dfp", "test", {"wer": 10.678, "wer_normalised": 10.461}, speed=161.94)
    second = finish("st/fairseq", "test", {"bleu": 84.149}, speed=9.04)
    (second / "train.log").write_text(
        f"num. shared model params: 99 (x)\n{EPOCH.format(epoch=1, speed=1, updates=1).replace('train_frames', 'train_w')}"
    )
    summary_table.main("test", str(first), str(second))
    assert capsys.readouterr().out.splitlines() == [
        "",
        "test",
        "experiment  parameters    WER  WER norm.   BLEU  training frames/s  decoding sentences/s",
        "asr/dfp      1,236,059  10.68      10.46      -             10,000                 161.9",
        "st/fairseq          99      -          -  84.15                  -                   9.0",
        "",
        *(line for out in (first, second) for line in [str(out), *(f"  {what:<15} {out / name}" for what, name in FILES)]),
    ]


FILES = [
    *[("training log", "train.log"), ("checkpoints", "checkpoints"), ("averaged model", "average.pt")],
    *[("hypotheses", "generate-test.txt"), ("scores", "score-test.json")],
]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.log", "num. shared model params: 99 (x)\n", "train.log: no epoch is complete; train longer"),
        ("train.log", EPOCH.format(epoch=1, speed=1, updates=1), "train.log: does not say how many parameters the model has"),
        ("generate-test.log", "interrupted\n", "generate-test.log: does not say how fast was decoded"),
    ],
)
def test_what_a_summary_lacks_is_named_with_its_log(name, text, message, finish):
    out = finish("asr/dfp", "test", {"wer": 1.0})
    (out / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        summary_table.cells_of(out, "test")


def test_throughput_is_of_the_second_half_and_its_memory_the_most(tmp_path, capsys):
    log = tmp_path / "row1.log"
    steps = [("100", "70.5"), ("20000", "71"), ("320000", "75.25"), ("300000", "73")]
    inner = "".join(
        f'2026 | INFO | train_inner | {{"epoch": 1, "frames_per_second": "{speed}", "gb_free": "{free}", "num_updates": "{number}"}}\n'
        for number, (speed, free) in enumerate(steps)
    )
    log.write_text(f"rank 0: capabilities = 9.0 ; total memory = 79.097 GB ; name = H100\n{inner}{TRANSLATED.format(speed=78.04)}")
    throughput.main()
    throughput.main(str(log), "row1", "--bf16")
    log.write_text(f"{inner}{TRANSLATED.format(speed=78.04)}")
    throughput.main(str(log), "row1", "")
    assert capsys.readouterr().out.splitlines() == [
        "| model | training arguments | frames/s | hours for 100,000 updates | GPU GiB in training | decoding sentences/s |",
        "|---|---|---|---|---|---|",
        "| row1 | --bf16 | 310,000 | 29 | 8.6 | 78.0 |",
        "| row1 | float32 | 310,000 | 29 | - | 78.0 |",
    ]
    log.write_text(inner)
    with pytest.raises(ValueError, match="row1.log: does not say how many sentences a second were decoded"):
        throughput.main(str(log), "row1", "")
    log.write_text("")
    with pytest.raises(ValueError, match="row1.log: no update was logged"):
        throughput.main(str(log), "row1", "")


def set_signature(path, signature):
    report = json.loads(path.read_text())
    report["metrics"]["wer_normalised"]["signature"] = signature
    path.write_text(json.dumps(report))


def test_figures_of_two_normalisers_do_not_stand_in_one_table(finish, study_folder, capsys):
    """Where all are of the older one they stay comparable."""
    name = "mustc/asr-en-de/row1_xattn_transformer-seed{}"
    other = finish("mustc/asr-en-de/row5_dfp_conformer-seed1", "tst-COMMON", {"wer": 20.0, "wer_normalised": 11.0})
    folders = [study_folder / name.format(1), study_folder / name.format(2), other]
    for folder in folders:
        set_signature(folder / "score-tst-COMMON.json", "nrefs:1|norm:2|apostrophe:within")
    study = Study(study_folder, MODELS[:3], ["1", "2"], None)

    def cells(model):
        (line,) = [line for line in study_table.table(study) if line.startswith(f"| {model} ")]
        return line.split(" | ")

    assert cells(MODELS[0])[3] == "12.5 ± 0.7 (12.1)" and cells(MODELS[1])[3] == "11.0 (10.3)"
    assert "score again" not in "".join(study_table.table(study))
    set_signature(other / "score-tst-COMMON.json", "nrefs:1|norm:3|apostrophe:within")
    assert cells(MODELS[0])[3] == "score again" and cells(MODELS[1])[3] == "11.0 (10.3)"
    assert study_table.table(study)[-1].startswith("* score again: another version of the normaliser")
    summary_table.main("tst-COMMON", *map(str, folders[1:]))
    out = capsys.readouterr().out
    assert "13.00" not in out and "11.00" in out and out.count("score again") == 2
    assert "20.00" in out  # of texts as they are
