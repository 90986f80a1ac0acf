"""From a corpus to scores with the stock fairseq commands and `speechllm`, and what users vary when they decode."""

import json
import os
import re
import shutil
import sys

import pytest
import torch
from commands import (
    MODELS,
    NUM_UPDATES,
    PACKAGE,
    ROOT,
    SEARCH,
    TASK,
    assert_same_hypotheses,
    at_once,
    fairseq,
    generate,
    hypotheses,
    last_line,
    run,
    succeeded,
    updates,
)
from mustc_corpus import RATE

pytestmark = pytest.mark.end_to_end

NUM_TEST_ROWS, NUM_TRAINING_ROWS, NUM_BEST = 13, 22, 3


@pytest.mark.parametrize("model", MODELS)
def test_a_corpus_becomes_scores(model, run_of):
    finished = run_of(model)
    assert set(updates(finished.train)) == set(range(1, NUM_UPDATES + 1))
    assert torch.load(finished.checkpoint, weights_only=True)["averaged_checkpoints"] == ["checkpoint_1_2.pt", "checkpoint_2_6.pt"]
    score = json.loads((finished.folder / "score.json").read_text())
    assert score["num_sentences"] == NUM_TEST_ROWS
    assert set(score["metrics"]) == {"wer", "wer_normalised", "cer", "cer_normalised", "bleu", "chrf", "ter"}
    assert "nrefs:1" in finished.score.stdout


@pytest.mark.parametrize("model", MODELS)
def test_every_row_is_decoded_once_with_its_best_first(model, run_of):
    decoded = run_of(model).decoded
    every_row = list(range(NUM_TEST_ROWS))
    for kind, num_lines in (("T", 1), ("H", NUM_BEST), ("D", NUM_BEST), ("P", NUM_BEST)):
        assert sorted(int(row) for row in re.findall(rf"^{kind}-(\d+)\t", decoded, re.MULTILINE)) == sorted(every_row * num_lines)
    for n_best in hypotheses(decoded).values():
        scores = [hypothesis.score for hypothesis in n_best]
        assert scores == sorted(scores, reverse=True) and len(set(n_best)) == NUM_BEST


def test_batches_change_no_hypothesis(trained, data):
    expected = hypotheses(trained.decoded)
    assert len({tuple(n_best) for n_best in expected.values()}) == NUM_TEST_ROWS  # otherwise this would show nothing
    for process in at_once(
        lambda: generate(data, trained.checkpoint, "tst-COMMON", "--max-tokens", 130),
        lambda: generate(data, trained.checkpoint, "tst-COMMON", "--batch-size", 5),
    ):
        assert_same_hypotheses(hypotheses(succeeded(process).stdout), expected)


def test_the_training_split_is_decoded_like_any_other(trained, data, tmp_path):
    """All of it and without SpecAugment: as the same rows under a name that does not begin with train."""
    shutil.copytree(data, tmp_path / "data")
    shutil.copy(data / "train.tsv", tmp_path / "data/copy.tsv")
    train, copy = at_once(
        lambda: generate(tmp_path / "data", trained.checkpoint, "train"),
        lambda: generate(tmp_path / "data", trained.checkpoint, "copy", "--max-tokens", 300),
    )
    expected = hypotheses(succeeded(copy).stdout)
    assert len(expected) == NUM_TRAINING_ROWS
    assert_same_hypotheses(hypotheses(succeeded(train).stdout), expected)


def test_half_precision_decodes_on_the_cpu(trained, data):
    expected = hypotheses(trained.decoded)
    for process in at_once(*(lambda flag=flag: generate(data, trained.checkpoint, "tst-COMMON", flag) for flag in ("--fp16", "--bf16"))):
        found = hypotheses(succeeded(process).stdout)
        assert found.keys() == expected.keys() and found != expected
        for row, n_best in found.items():
            assert n_best[0].score == pytest.approx(expected[row][0].score, rel=0.05)


def test_sampling_falls_to_fairseqs_generator_and_says_so(trained, data):
    process = succeeded(generate(data, trained.checkpoint, "tst-COMMON", "--sampling"))
    assert [len(n_best) for n_best in hypotheses(process.stdout).values()] == [NUM_BEST] * NUM_TEST_ROWS
    assert "does not serve sampling: fairseq's generator is used" in process.stderr
    assert "fairseq's generator is used" not in trained.generate.stderr + trained.generate.stdout


@pytest.mark.parametrize("flags", [("--diverse-beam-groups", 3), ("--print-step",), ("--retain-dropout",)], ids=lambda flags: flags[0])
def test_what_no_generator_can_do_with_speech_is_refused_in_one_line(flags, trained, data):
    process = generate(data, trained.checkpoint, "tst-COMMON", *flags)
    assert process.returncode != 0
    assert last_line(process).startswith("fairseq-generate: error: ") and flags[0] in last_line(process)


@pytest.mark.parametrize("model", ["dfp_conformer_compressed", "xattn_transformer"])
def test_interactive_decodes_segments_of_audio_files(model, run_of, data, spoken):
    """Their paths on standard input give what fairseq-generate found for the stored features of the same rows."""
    finished, folder = run_of(model), spoken.folder["tst-COMMON"] / "wav"
    segments = spoken.segments["tst-COMMON"]
    lines = [f"ted_{one['talk']}.wav:{round(one['offset'] * RATE)}:{round(one['duration'] * RATE)}\n" for one in segments]
    arguments = [os.path.relpath(data, folder), *TASK, "--path", finished.checkpoint, *SEARCH, "--buffer-size", 20, "--batch-size", 4]
    process = succeeded(fairseq("interactive", *arguments, cwd=folder, input="".join(lines)))
    assert_same_hypotheses(hypotheses(process.stdout), hypotheses(finished.decoded))


def test_validate_repeats_the_validation_of_training(trained, data):
    arguments = [*TASK, "--path", trained.folder / "checkpoint_last.pt", "--valid-subset", "dev", "--max-tokens", 300]
    process = succeeded(fairseq("validate", data, *arguments, cwd=data.parent))
    [logged] = [line for line in trained.train.stdout.splitlines() if f'"dev_num_updates": "{NUM_UPDATES}"' in line]
    at_the_end = json.loads(logged.partition("| dev | ")[2])
    for name in ("loss", "nll_loss", "ctc_loss", "accuracy", "ctc_wer"):
        assert f"| {name} {at_the_end[f'dev_{name}']} |" in process.stdout


def test_user_dir_is_relative_or_of_a_package_that_was_imported_before(trained, data):
    imported_before = (
        "import sys; sys.argv[0] = 'fairseq-validate'; import speechllm_plugin; from argparse import Namespace;"
        "from fairseq import utils; from fairseq_cli import validate;"
        f"utils.import_user_module(Namespace(user_dir={str(PACKAGE)!r})); validate.cli_main()"
    )
    arguments = [data, "--user-dir", os.path.relpath(PACKAGE, data.parent), *TASK[2:], "--path", trained.checkpoint, "--valid-subset", "dev"]
    for process in at_once(
        lambda: run(sys.executable, "-c", imported_before, *arguments, "--max-tokens", 600, "--cpu", cwd=data.parent, python_path=ROOT),
        lambda: fairseq("validate", *arguments, "--max-tokens", 600, cwd=data.parent),
    ):
        assert "valid on 'dev' subset" in succeeded(process).stdout
