"""--cuda-graphs says why a training cannot run from graphs."""

import pytest
import torch
from gpu import needs_gpu
from tiny_model import make_model
from torch import nn

from speechllm_plugin.models.dropout import survival
from speechllm_plugin.optim.flat_adam import FlatAdam, FlatAdamConfig
from speechllm_plugin.tasks import captured_steps
from speechllm_plugin.tasks.captured_steps import TrainedModel


def flat_adam(model):
    return FlatAdam(FlatAdamConfig(lr=[1e-3], fp16=False), model.parameters())


def test_without_graphs_nothing_is_asked_for():
    model = make_model("dfp", ("conformer", "xl", "none"))
    trained = TrainedModel(model, None, 0)
    for counts in (False, True):
        trained.prepare_step(ignore_grad=not counts)
        assert all(module.counts == counts for module in trained.batch_norms)
    assert len(trained.batch_norms) == 3 and model.captured_training is None


@pytest.mark.parametrize(("make", "is_ours"), [(lambda: make_model("dfp"), True), (lambda: nn.Linear(2, 2), False)])
def test_each_rank_has_masks_of_its_own_in_every_batch(make, is_ours, monkeypatch):
    """What is not of this package may drop whole layers, on all ranks the same."""
    trained, masks = TrainedModel(make(), None, 0), []
    monkeypatch.setattr(captured_steps, "several_processes", lambda: True)
    for rank in (0, 1, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        torch.manual_seed(7)  # as fairseq, before an update
        for _ in range(2):
            trained.prepare_step(ignore_grad=False)
            masks.append(survival(torch.empty(40), 0.5).tolist())
    assert masks[2:4] == masks[4:6] and len(set(map(tuple, masks))) == (4 if is_ours else 2)


@pytest.mark.parametrize(
    "make, number, message",
    [
        (lambda: make_model("dfp"), 8, "--cuda-graphs needs a GPU, but the training is on cpu: leave it out"),
        (lambda: nn.Linear(2, 2), 8, "is for dfp_transformer and xattn_transformer, but the model is Linear: leave it out"),
        (lambda: make_model("dfp"), -1, "--cuda-graphs must not be negative .0 = none., but is -1"),
    ],
)
def test_what_cannot_run_from_graphs_is_refused(make, number, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        TrainedModel(model, flat_adam(model), number)


@pytest.mark.parametrize("may_skip", [False, True])
def test_norms_come_late_only_where_no_update_may_be_left_out(may_skip, monkeypatch):
    """Found out in the update after it, a gradient that is not finite would cost that one as well."""
    for name in ("refuse_what_cannot_be_captured", "CapturedTraining"):
        monkeypatch.setattr(captured_steps, name, lambda *arguments: None)
    model = make_model("dfp")
    optimizer = flat_adam(model)
    TrainedModel(model, optimizer, 8, may_skip=may_skip)
    assert (optimizer.late_norm is None) == may_skip


@needs_gpu
def test_on_a_gpu_other_optimizers_and_amp_are_refused():
    model = make_model("dfp").cuda()
    with pytest.raises(ValueError, match="the optimizer is Adam: give --optimizer speechllm_adam"):
        TrainedModel(model, torch.optim.Adam(model.parameters()), 8)
    optimizer = flat_adam(model)
    with torch.autocast("cuda"), pytest.raises(ValueError, match="does not go with --amp: give --bf16"):
        TrainedModel(model, optimizer, 8)
    assert TrainedModel(model, optimizer, 8).captured.num_graphs == 0
