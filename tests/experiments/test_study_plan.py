"""Which experiments a study has, in which order, and what it says of arguments that cannot be."""

import re
from pathlib import Path

import pytest

from speechllm_plugin.experiments import study_plan, study_settings
from speechllm_plugin.experiments.study_plan import corpus_at, plan
from speechllm_plugin.experiments.training_file import Gpus
from speechllm_plugin.preparation.corpora import CORPORA, Corpus

MODELS = Path(__file__).resolve().parents[2] / "recipes/models"
ALL_INTO_ENGLISH = "asr-ca+de+fr-en"


@pytest.fixture
def mustc(tmp_path):
    for target in ("fr", "de", "es"):
        (tmp_path / f"corpora/mustc/en-{target}/data").mkdir(parents=True)
    return str(tmp_path / "corpora/mustc")


@pytest.fixture
def covost2(tmp_path):
    for source, target in (("de", "en"), ("ca", "en"), ("fr", "en"), ("en", "de"), ("en", "zh-CN")):
        folder = tmp_path / "corpora/covost2" / source
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"covost_v2.{source}_{target}.tsv").write_text("")
    return str(tmp_path / "corpora/covost2")


def folders(study):
    return [f"{data.corpus}/{data.folder}" for data in study.data]


def test_the_papers_study_is_all_rows_and_tasks_of_both_corpora(mustc, covost2):
    study = plan([covost2, mustc], "table1", "", "1,2")
    assert folders(study) == [
        *("mustc/asr-en-de", "mustc/st-en-es", "mustc/st-en-de", "mustc/st-en-de+es+fr"),
        *(f"covost2/{ALL_INTO_ENGLISH}", "covost2/st-ca+de+fr-en"),
    ]
    names = [experiment.name for experiment in study.experiments()]
    assert len(names) == len(set(names)) == 8 * 6 * 2
    assert names[:3] == [
        *(
            "mustc/asr-en-de/row1_xattn_transformer-seed1",
            "mustc/asr-en-de/row1_xattn_transformer-seed2",
            "mustc/asr-en-de/row2_dfp_transformer-seed1",
        ),
    ]


def test_a_translation_starts_from_the_recognition_of_its_sources_model_and_seed(mustc, covost2):
    study = plan([mustc, covost2], "5,6", "mustc/st-fr,mustc/joint-de,covost2/st-en:de,covost2/asr-de+ca,covost2/st-de+ca", "3")
    assert folders(study) == [
        *("mustc/asr-en-fr", "mustc/st-en-fr", "mustc/joint-en-de", "covost2/asr-en-de", "covost2/st-en-de"),
        *("covost2/asr-de+ca-en", "covost2/st-de+ca-en"),
    ]
    starts = {experiment.name: experiment.start for experiment in study.experiments()}
    assert starts["mustc/st-en-fr/row6_decoder_only_32-seed3"] == "mustc/asr-en-fr/row6_decoder_only_32-seed3/average.pt"
    assert starts["covost2/st-de+ca-en/row5_dfp_conformer-seed3"] == "covost2/asr-de+ca-en/row5_dfp_conformer-seed3/average.pt"
    assert all((start is None) == ("/st-" not in name) for name, start in starts.items())
    order = list(starts)
    assert all(order.index(name) > order.index(start.removesuffix("/average.pt")) for name, start in starts.items() if start)
    assert [experiment.name for experiment in study.experiments("asr")] + [experiment.name for experiment in study.experiments("st")] == order
    assert all(experiment.wave == "asr" for experiment in study.experiments() if "/joint-" in experiment.name)


@pytest.mark.parametrize(
    ("corpus", "task", "folder"),
    [
        ("mustc", "asr", "asr-en-de"),
        ("mustc", "asr-fr", "asr-en-fr"),
        ("mustc", "asr-multi", "asr-en-de"),
        ("mustc", "asr-fr+de", "asr-en-fr"),
        ("mustc", "st-fr+de", "st-en-fr+de"),
        ("mustc", "joint-multi", "joint-en-de+es+fr"),
        ("mustc", "st-en:es", "st-en-es"),
        ("covost2", "asr", ALL_INTO_ENGLISH),
        ("covost2", "asr-de", "asr-de-en"),
        ("covost2", "st-multi", "st-ca+de+fr-en"),
        ("covost2", "st-fr+de", "st-fr+de-en"),
        ("covost2", "joint-en:de+zh-CN", "joint-en-de+zh-CN"),
    ],
)
def test_languages_of_a_task_are_targets_of_mustc_and_sources_of_covost2(corpus, task, folder, request):
    study = plan([request.getfixturevalue(corpus)], "1", f"{corpus}/{task}", "1")
    assert f"{corpus}/{folder}" in folders(study)


def test_recognition_without_a_direction_into_english_is_of_any_direction(tmp_path):
    (tmp_path / "en").mkdir()
    (tmp_path / "en/covost_v2.en_de.tsv").write_text("")
    assert folders(plan([str(tmp_path)], "1", "asr", "1")) == ["covost2/asr-en-de"]
    with pytest.raises(ValueError, match=f"--tasks covost2/st-multi: no source into en in {tmp_path}, which has en-de; name SOURCES:TARGETS"):
        plan([str(tmp_path)], "1", "st-multi", "1")


def test_rows_name_model_files(mustc):
    def names(rows):
        return [path.stem for path in plan([mustc], rows, "asr", "1").model_files]

    assert names("table1") == names("1,2,3,4,4.1,5,5.1,6") and len(names("table1")) == 8
    assert names("table3") == sorted(path.stem for path in MODELS.glob("table3_*.sh"))
    assert names("5.1,small_xattn_conformer,published/row4_xattn_conformer") == [
        *("row5.1_dfp_conformer_compressed", "small_xattn_conformer", "row4_xattn_conformer"),
    ]


ERRORS = [
    ({"tasks": "st-nl"}, "--tasks mustc/st-nl needs the direction en-nl, but {mustc} has only en-de en-es en-fr"),
    ({"rows": "7"}, "--rows 7: there is no models/row7_*.sh"),
    ({"rows": "small"}, "--rows small: there is no models/small.sh"),
    ({"tasks": "qa-de"}, "--tasks: a task is asr, st-LANGUAGES or joint-LANGUAGES, but is qa-de"),
    ({"tasks": "st"}, "--tasks: st needs languages, as in st-de"),
    ({"tasks": "covost2/asr"}, "--tasks covost2/asr needs the corpus covost2, but its root is not given"),
    ({"seeds": "one"}, "--seeds must be numbers separated by commas, but is one"),
    ({"seeds": ","}, "--seeds must be numbers separated by commas, but is ,"),
    ({"rows": ","}, "--rows must name rows or files of recipes/models, but is ,"),
    ({"tasks": ","}, "--tasks , names no task for the corpora given"),
]


@pytest.mark.parametrize(("changes", "message"), ERRORS, ids=str)
def test_what_cannot_be_planned_is_said(changes, message, mustc):
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(mustc=mustc))}$"):
        plan([mustc], **{"rows": "1", "tasks": "", "seeds": "1", **changes})


def test_roots_are_told_apart_by_their_layout(mustc, covost2, tmp_path):
    assert [corpus_at(root) for root in (mustc, covost2)] == ["mustc", "covost2"]
    layouts = "must hold en-de/data and so on (MuST-C) or de/covost_v2.de_en.tsv and so on (CoVoST2) or "
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} {layouts}") + ".*, but holds none of these"):
        corpus_at(str(tmp_path))
    (Path(mustc) / "de").mkdir()
    (Path(mustc) / "de/covost_v2.de_en.tsv").write_text("")
    with pytest.raises(ValueError, match=re.escape(f"{mustc} {layouts}") + ".*, but holds mustc covost2"):
        corpus_at(mustc)
    with pytest.raises(ValueError, match=f"{covost2} and {covost2} are both laid out as covost2; give one of each"):
        plan([covost2, covost2], "1", "", "1")


def test_a_new_corpus_is_planned_from_its_entry_alone(tmp_path, monkeypatch, mustc):
    """Its reader says which directions a root has; everything else that experiments need stands in the entry."""
    entry = Corpus(
        title="Europarl-ST",
        read=lambda *arguments: [],
        layout="en/de",
        directions=lambda root: sorted((path.parent.name, path.name) for path in Path(root).glob("[a-z][a-z]/[a-z][a-z]")),
        splits=("train", "dev", "test"),
        test_split="test",
        vocab_sizes={"asr": 10, "st": 10, "joint": 10},
        multilingual_vocab_size=10,
        transcript_vocab_size=10,
        training_file="small_cpu.sh",
        study_tasks=("asr", "st-multi"),
    )
    monkeypatch.setitem(CORPORA, "europarl", entry)
    for target in ("de", "fr"):
        (tmp_path / "europarl/en" / target).mkdir(parents=True)
    study = study_settings.read([mustc, str(tmp_path / "europarl"), "--rows", "1", "--out", "out"])
    assert [each for each in folders(study.plan) if "europarl" in each] == ["europarl/asr-en-de", "europarl/st-en-de+fr"]
    (translation,) = (each for each in study.plan.experiments("st") if each.data.corpus == "europarl")
    assert study.training["europarl"].average_last == 5 and "--max-update 2000" in " ".join(study.training["europarl"].training_args)
    command = " ".join(study.prepare_command(translation.data))
    assert (
        f"prepare europarl --root {tmp_path}/europarl --task st --source-lang en --target-lang de fr --out out/europarl/st-en-de+fr/data" in command
    )
    study.training["europarl"].machine_args(Gpus(1, 80))
    assert list(translation.data.test_splits()) == [("test", "st")]
    assert study_plan.corpus_at(str(tmp_path / "europarl")) == "europarl"
