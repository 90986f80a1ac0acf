"""Rows of an accent, a speaker ... can be kept from training: no split but train and dev changes, and nothing of them is learnt."""

import collections
import json

import pytest
import sentencepiece
from commands import ROOT
from covost_corpus import CommonVoice
from digits import bash
from mustc_corpus import contents, small_corpus
from mustc_corpus import run as run_mustc
from prepare_command import manifests_in, prepare

SPLITS = ["train"] * 8 + ["dev"] * 3 + ["test"] * 4
ACCENTS = ("us", "other: Greek", "scotland")
LETTERS = {"us": "abc", "other: Greek": "αβγ", "scotland": "abd"}
GREEK = "accent=other: Greek"


@pytest.fixture
def corpus(tmp_path):
    """Accents in turn; each is written in letters of its own."""

    def texts(number):
        first, second, third = LETTERS[ACCENTS[number % 3]]
        return tuple(f"{first}{second}{third} {first}{second} {second}{third} {letter}{third}" for letter in "xy")

    corpus = CommonVoice(tmp_path / "cv", "en", ("de",), SPLITS, texts)
    for number, voice in enumerate(corpus.voices):
        voice["accent"] = ACCENTS[number % 3]
    return corpus.write()


def run(corpus, out, *options, task="st"):
    sizes = ["--vocab-size", 18 if task == "joint" else 14, "--transcript-vocab-size", 14]
    prepare("covost2", corpus.root, out, "--source-lang", "en", "--target-lang", "de", "--task", task, *sizes, *options)
    return manifests_in(out)


def accents(utterances):
    return collections.Counter(utterance.extra["accent"] for utterance in utterances)


@pytest.mark.parametrize("task", ["asr", "st", "joint"])
def test_train_and_dev_lack_the_value_and_test_sets_stay_whole(corpus, tmp_path, capsys, task):
    everything = run(corpus, tmp_path / "all", task=task)
    manifests = run(corpus, tmp_path / "out", "--hold-out", GREEK, task=task)
    assert manifests.keys() == everything.keys()
    for name, utterances in everything.items():
        expected = utterances if name.startswith("test") else [u for u in utterances if u.extra["accent"] != "other: Greek"]
        assert [(u.id, u.tgt_text, u.extra) for u in manifests[name]] == [(u.id, u.tgt_text, u.extra) for u in expected]
    assert "other: Greek" in accents(manifests["test"]) and len(manifests["train"]) == 5
    output = capsys.readouterr().out
    assert (
        f"train: held out 3 of 8 rows: {GREEK}\n" in output and f"dev: held out 1 of 3 rows: {GREEK}\n" in output and "test: held out" not in output
    )


def test_vocabularies_know_nothing_of_what_is_held_out(corpus, tmp_path):
    run(corpus, tmp_path / "out", "--hold-out", GREEK)
    for name in ("target", "transcript"):
        model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / f"out/spm_{name}.model"))
        assert model.unk_id() in model.encode("α") and model.unk_id() not in model.encode("abcd")


def test_rows_that_meet_any_of_several_conditions_are_held_out(corpus, tmp_path, capsys):
    manifests = run(
        corpus,
        tmp_path / "out",
        "--hold-out",
        GREEK,
        "speaker=client 0",
        "--hold-out",
        "speaker=client 2",
        "--vocab-size",
        12,
        "--transcript-vocab-size",
        12,
    )
    kept = [number for number in range(11) if ACCENTS[number % 3] != "other: Greek" and number % 4 not in (0, 2)]
    assert [u.id for u in (*manifests["train"], *manifests["dev"])] == [f"common_voice_en_{number}" for number in kept] and len(kept) == 3
    assert len(manifests["test"]) == 4 and "train: held out 2 of 8 rows: speaker=client 0\n" in capsys.readouterr().out


def test_speakers_of_mustc_can_be_held_out(tmp_path):
    corpus = small_corpus(tmp_path / "mustc")
    manifests = run_mustc(corpus, tmp_path / "out", "--hold-out", "speaker=spk.1")
    assert {u.speaker for u in manifests["train"]} == {"spk.2"} and len(manifests["dev"]) == 3 and len(manifests["tst-COMMON"]) == 2


def test_the_choice_belongs_to_the_folder(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    run(corpus, out, "--hold-out", GREEK, "speaker=client 0")
    before = contents(out)
    capsys.readouterr()
    run(corpus, out, "--hold-out", "speaker=client 0", "--hold-out", GREEK)
    assert "train: already prepared" in capsys.readouterr().out
    for options, given in (([], "None"), (["--hold-out", GREEK], f"'{GREEK}'")):
        with pytest.raises(ValueError) as error:
            run(corpus, out, *options)
        assert str(error.value) == (
            f"--hold-out is {given}, but {out} was made with '{GREEK}' 'speaker=client 0'; choose another --out or delete that folder"
        )
    assert contents(out) == before


def test_folders_from_before_there_was_the_option_are_completed_without_it(corpus, tmp_path, capsys):
    run(corpus, tmp_path / "out")
    record = json.loads((tmp_path / "out/.prepare.json").read_text())
    del record["options"]["--hold-out"]
    (tmp_path / "out/.prepare.json").write_text(json.dumps(record))
    run(corpus, tmp_path / "out")
    assert "train: already prepared" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--hold-out is 'accent=other: Greek', but .* was made with None"):
        run(corpus, tmp_path / "out", "--hold-out", GREEK)


def test_a_split_can_be_added_later_whether_or_not_it_has_the_value(corpus, tmp_path):
    run(corpus, tmp_path / "out", "--hold-out", GREEK, "--splits", "train")
    assert run(corpus, tmp_path / "out", "--hold-out", GREEK, "--splits", "test").keys() == {"train", "test"}
    assert accents(run(corpus, tmp_path / "out", "--hold-out", GREEK, "--splits", "dev")["dev"]) == {"us": 1, "scotland": 1}


def test_a_check_counts_as_the_run_would(corpus, tmp_path, capsys):
    run(corpus, tmp_path / "out", "--hold-out", GREEK, "--check")
    output = capsys.readouterr().out
    assert "train: held out 3 of 8 rows" in output and ["train", "5", "-", "0"] in [line.split() for line in output.splitlines()]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "conditions, message",
    [
        (
            ["acent=us"],
            "train: --hold-out acent=...: there is no such column ({root}/en/covost_v2.en_de.tsv:2); "
            "there are id tgt_text speaker src_text src_lang tgt_lang accent age gender",
        ),
        (["n_frames=10"], "train: --hold-out n_frames=...: there is no such column"),
        (["accent=greek"], "--hold-out accent=greek: no row of train and dev has this accent; they have 'other: Greek', 'scotland', 'us'"),
        (
            ["accent=us", "speaker=x"],
            "--hold-out speaker=x: no row of train and dev has this speaker; they have 'client 0', 'client 1', 'client 2' and 1 more",
        ),
        ([f"accent={accent}" for accent in ACCENTS], "train: --hold-out 'accent=other: Greek' accent=scotland accent=us leaves none of 8 rows"),
    ],
)
def test_conditions_that_do_not_fit_the_corpus_are_an_error_before_anything_is_written(corpus, tmp_path, conditions, message):
    with pytest.raises(ValueError) as error:
        run(corpus, tmp_path / "out", "--hold-out", *conditions)
    assert message.replace("{root}", str(corpus.root)) in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_condition_needs_a_column(corpus, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(corpus, tmp_path / "out", "--hold-out", "Greek")
    assert "--hold-out: must be a column and its value, as in accent=us, but is Greek" in capsys.readouterr().err


@pytest.mark.end_to_end
def test_recipes_pass_values_with_spaces(corpus, tmp_path):
    training = tmp_path / "training.sh"
    training.write_text("PREPARE_ARGS=(--workers 1 --features online) TRAINING_ARGS=(--max-update nothing-is-trained) AVERAGE_LAST=1\n")
    options = ["--root", corpus.root, "--training", training, "--out", tmp_path / "out", "--vocab-size", 9, "--transcript-vocab-size", 9]
    conditions = ["--hold-out", GREEK, "--hold-out", "age=age 0"]
    process = bash(
        ROOT / "recipes/covost2/run.sh", *options, *conditions, "en", "de", ROOT / "recipes/models/row1_xattn_transformer.sh", cwd=tmp_path
    )
    assert process.returncode == 1 and "pipeline: error: train: failed" in process.stderr, process.stderr
    assert f"train: held out 3 of 8 rows: {GREEK}\n" in process.stdout and "train: held out 3 of 8 rows: age=age 0\n" in process.stdout
    assert accents(manifests_in(tmp_path / "out/st-en-de/data")["train"]) == {"scotland": 2}


@pytest.mark.end_to_end
def test_the_study_passes_values_with_spaces(corpus, tmp_path):
    training = tmp_path / "training.sh"
    training.write_text(
        "PREPARE_ARGS=(--workers 1 --features online) TRAINING_ARGS=(--max-tokens 9 --max-update 9) GENERATION_ARGS=() AVERAGE_LAST=1\n"
    )
    arguments = [corpus.root, "--tasks", "st-en:de", "--rows", 1, "--training", training, "--out", tmp_path / "out", "--hold-out", GREEK, "--silence"]
    process = bash(ROOT / "recipes/study.sh", *arguments, "--dry-run", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count(f"train: held out 3 of 8 rows: {GREEK}\n") == 2  # for recognition and for the translation that starts from it
    assert process.stdout.count(r"--hold-out accent=other:\ Greek") == 2 and process.stdout.count("--gen-subset silence") == 2
    assert not (tmp_path / "out").exists()
