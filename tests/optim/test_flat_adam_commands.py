"""fairseq-train with --optimizer speechllm_adam: fairseq's Adam goes on with its runs and it with fairseq's, in 32 bits and in 16."""

import shutil

import pytest
import torch
from commands import MODELS, at_once, succeeded, train, updates

pytestmark = pytest.mark.end_to_end
OWN, FAIRSEQS = ["--optimizer", "speechllm_adam"], ["--optimizer", "adam"]
MODEL = MODELS["dfp_conformer_compressed"]


def weights(path):
    return torch.load(path, weights_only=True)["model"]


def assert_same_losses(process, whole):
    """Those of the updates that the process made, of at least two, and two epochs. Weights cannot be compared: the bias of the keys has
    gradients of rounding errors alone, which Adam makes as large as any.
    """
    losses = {number: float(log["loss"]) for number, log in updates(succeeded(process)).items()}
    assert len(losses) >= 2
    assert losses == pytest.approx({number: float(log["loss"]) for number, log in updates(whole).items() if number in losses}, rel=2e-4)


def test_either_goes_on_with_the_others_run(trained, data, tmp_path):
    """`trained` is a run of fairseq's Adam."""
    for name in ("of_fairseqs", "of_own"):
        (tmp_path / name).mkdir()
    shutil.copy(trained.folder / "checkpoint1.pt", tmp_path / "of_fairseqs/checkpoint_last.pt")
    assert_same_losses(train(data, tmp_path / "own", *OWN, model=MODEL), trained.train)
    shutil.copy(tmp_path / "own/checkpoint1.pt", tmp_path / "of_own/checkpoint_last.pt")
    runs = at_once(
        lambda: train(data, tmp_path / "of_fairseqs", *OWN, model=MODEL),
        lambda: train(data, tmp_path / "of_own", *FAIRSEQS, model=MODEL),
    )
    for run in runs:
        assert_same_losses(run, trained.train)


def test_in_16_bits_a_run_that_was_stopped_ends_as_one_in_one_go(data, tmp_path):
    """The float32 weights are kept, so that nothing is rounded on the way; fairseq's own 16 bits go on with them, too."""
    short = [*OWN, "--bf16"]
    succeeded(train(data, tmp_path / "whole", *short, model=MODEL))
    for name in ("cut", "fairseqs"):
        (tmp_path / name).mkdir()
        shutil.copy(tmp_path / "whole/checkpoint1.pt", tmp_path / name / "checkpoint_last.pt")
    runs = at_once(
        lambda: train(data, tmp_path / "cut", *short, model=MODEL),
        lambda: train(data, tmp_path / "fairseqs", *FAIRSEQS, "--bf16", model=MODEL),
    )
    for run in runs:
        succeeded(run)
    for name, weight in weights(tmp_path / "whole/checkpoint_last.pt").items():
        assert torch.equal(weight, weights(tmp_path / "cut/checkpoint_last.pt")[name]), name
