"""speechllm_adam: the updates of fairseq's Adam over one flat tensor, and a state that either of them can go on with."""

from types import SimpleNamespace

import pytest
import torch
from fairseq.distributed import ModuleProxyWrapper
from fairseq.distributed.legacy_distributed_data_parallel import LegacyDistributedDataParallel
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from gpu import needs_gpu
from torch import distributed, nn
from two_ranks import on_two_ranks

from speechllm_plugin.optim.flat_adam import FlatAdam, FlatAdamConfig

LR = 0.01
pytestmark = pytest.mark.gpu
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # fairseq's clipping wants gradients on the GPU, where there is one


def make_model(device=DEVICE):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Linear(5, 2, bias=False)).to(device)


def make_optimizer(kind, model, **settings):
    config = {FairseqAdam: FairseqAdamConfig, FlatAdam: FlatAdamConfig}[kind]
    values = {"adam_betas": "(0.9, 0.98)", "lr": [LR], "tpu": False, "fp16": False, **settings}
    return kind(SimpleNamespace(**{**vars(config()), **values}), model.parameters())


def update(model, optimizer, number, clip_norm, factor=1.0):
    """One update as fairseq's trainer makes it; returns the norm."""
    optimizer.zero_grad()
    torch.manual_seed(number)
    for _ in range(2):  # --update-freq 2
        optimizer.backward(model(torch.randn(7, 3).to(DEVICE)).square().sum())
    optimizer.multiply_grads(factor)
    norm = optimizer.clip_grad_norm(clip_norm)
    optimizer.step()
    return norm


@pytest.mark.parametrize(
    ("clip_norm", "factor"),
    [(0, 1.0), (0.1, 0.25), (1000, torch.tensor(0.5, device=DEVICE)), (0.1, torch.tensor(0.5, dtype=torch.double, device=DEVICE))],
)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_updates_are_those_of_fairseqs_adam(clip_norm, factor, weight_decay):
    models = [make_model() for _ in range(2)]
    optimizers = [make_optimizer(kind, model, weight_decay=weight_decay) for kind, model in zip((FairseqAdam, FlatAdam), models)]
    for number in range(5):
        norms = [update(model, optimizer, number, clip_norm, factor) for model, optimizer in zip(models, optimizers)]
        torch.testing.assert_close(norms[1], norms[0].cpu())
        for optimizer in optimizers:
            optimizer.set_lr(LR / (number + 1))
    for one, other in zip(*(model.parameters() for model in models)):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("first", [FairseqAdam, FlatAdam])
@pytest.mark.parametrize("second", [FairseqAdam, FlatAdam])
def test_either_goes_on_from_the_others_state(first, second):
    model, whole = make_model(), make_model()
    optimizer, uncut = make_optimizer(first, model), make_optimizer(first, whole)
    for number in range(3):
        update(model, optimizer, number, 1.0)
    again = make_model()
    again.load_state_dict(model.state_dict())
    other = make_optimizer(second, again)
    other.load_state_dict(optimizer.state_dict(), {"lr": LR})
    for number in range(3, 5):
        update(again, other, number, 1.0)
    for number in range(5):
        update(whole, uncut, number, 1.0)
    for one, two in zip(again.parameters(), whole.parameters()):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_weights_stay_the_models_and_loading_reaches_them():
    model, other = make_model(), make_model()
    before = list(model.parameters())
    optimizer = make_optimizer(FlatAdam, model)
    assert all(one is two for one, two in zip(before, model.parameters()))
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(1)
    model.load_state_dict(other.state_dict())
    for own, loaded in zip(optimizer.parts(optimizer.flat.detach()), other.parameters()):
        assert torch.equal(own, loaded)
    assert all(own.data_ptr() % 64 == optimizer.flat.data_ptr() % 64 for own in optimizer.parts(optimizer.flat))


def test_a_gradient_that_is_no_number_shows_in_the_norm():
    model = make_model()
    optimizer = make_optimizer(FlatAdam, model)
    optimizer.zero_grad()
    model[2].weight.grad[0, 0] = float("nan")
    assert not torch.isfinite(optimizer.clip_grad_norm(1.0))


def test_the_state_of_another_model_is_refused():
    optimizer = make_optimizer(FlatAdam, make_model())
    larger = nn.Linear(40, 2).to(DEVICE)
    other = make_optimizer(FairseqAdam, larger)
    update(nn.Sequential(nn.Linear(3, 40).to(DEVICE), larger), other, 0, 1.0)
    with pytest.raises(ValueError, match=r"averages of 82 weights in 2 tensors, but the model has 40 in 5: give --reset-optimizer"):
        optimizer.load_state_dict(other.state_dict())


def test_what_it_cannot_step_on_is_refused():
    with pytest.raises(ValueError, match=rf"needs float32 or bfloat16 weights on one device, but these are float64 on {DEVICE}"):
        make_optimizer(FlatAdam, make_model().double())
    with pytest.raises(ValueError, match="does not scale losses, as --fp16 needs it: give --bf16"):
        make_optimizer(FlatAdam, make_model(), fp16=True)


def test_with_weights_of_16_bits_the_steps_are_those_of_float32_weights():
    """Gradients of a sum are the inputs, which 16 bits hold exactly, so that the two models get the same ones."""
    models = [nn.Linear(4, 3, bias=False), nn.Linear(4, 3, bias=False).bfloat16()]
    models[0].load_state_dict({"weight": models[1].weight.detach().float()})
    optimizers = [make_optimizer(FlatAdam, model, lr=[1e-4]) for model in models]
    for number in range(20):
        for model, optimizer in zip(models, optimizers):
            optimizer.zero_grad()
            inputs = torch.randint(-8, 9, (1, 4), generator=torch.Generator().manual_seed(number)).to(model.weight.dtype)
            optimizer.backward(model(inputs).sum())
            optimizer.clip_grad_norm(0)
            optimizer.step()
    torch.testing.assert_close(optimizers[1].flat, optimizers[0].flat)
    torch.testing.assert_close(models[1].weight, models[0].weight.bfloat16())
    again = nn.Linear(4, 3, bias=False).bfloat16()
    again.load_state_dict(models[1].state_dict())
    other = make_optimizer(FlatAdam, again)
    other.load_state_dict(optimizers[1].state_dict())
    assert torch.equal(other.flat, optimizers[1].flat)  # not rounded to the model's 16 bits
    with torch.no_grad():
        again.weight.add_(1)
    other.load_state_dict(optimizers[1].state_dict())
    assert torch.equal(other.flat, optimizers[1].flat)
    trained_on = make_optimizer(FlatAdam, again)
    trained_on.load_state_dict(optimizers[1].state_dict())
    torch.testing.assert_close(trained_on.parts(trained_on.flat)[0], again.weight.float())


WRAPPERS = {
    "legacy_ddp": lambda model: ModuleProxyWrapper(LegacyDistributedDataParallel(model, distributed.group.WORLD)),
    "pytorch_ddp": lambda model: ModuleProxyWrapper(nn.parallel.DistributedDataParallel(model)),
}


def updates_of(model, optimizer, batches):
    """Norms and weights after three updates of two batches each; the shares of the ranks are theirs of the last dimension."""
    norms = []
    for number in range(3):
        optimizer.zero_grad()
        generator = torch.Generator().manual_seed(number)
        for inputs in torch.randn(2, 4, 3, generator=generator):
            optimizer.backward(model(inputs[batches]).square().sum())
        optimizer.all_reduce_grads(model)
        norms.append(optimizer.clip_grad_norm(1.0))
        optimizer.step()
    return norms, optimizer.flat.detach()


def train_on_a_rank(rank, folder):
    torch.set_num_threads(1)
    results = {}
    for name, wrap in WRAPPERS.items():
        model = make_model("cpu")
        wrapped, optimizer = wrap(model), make_optimizer(FlatAdam, model)
        results[name] = updates_of(wrapped, optimizer, slice(rank, None, 2))
        assert all(weight.grad.data_ptr() == part.data_ptr() for weight, part in zip(optimizer.weights, optimizer.parts(optimizer.gradient)))
    torch.save(results, f"{folder}/{rank}.pt")


def test_two_ranks_make_the_updates_of_one_with_the_mean_of_their_gradients(tmp_path):
    on_two_ranks(train_on_a_rank, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    model = make_model("cpu")
    alone = make_optimizer(FlatAdam, model)
    alone.all_reduce_grads = lambda module: alone.multiply_grads(0.5)
    norms, weights = updates_of(model, alone, slice(None))
    for name in WRAPPERS:
        assert torch.equal(first[name][1], second[name][1]) and first[name][0] == second[name][0]
        torch.testing.assert_close(first[name][0], norms)
        torch.testing.assert_close(first[name][1], weights, rtol=1e-5, atol=1e-6)


@needs_gpu
def test_late_norms_change_no_step_and_keep_what_is_no_number_out():
    models = [make_model() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [make_optimizer(FlatAdam, model) for model in models]
    optimizers[1].answer_late()
    norms: list[list[float]] = [[], []]
    for number in range(5):
        for model, optimizer, own in zip(models, optimizers, norms):
            optimizer.zero_grad()
            inputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(number)).cuda()
            optimizer.backward(model(inputs).square().sum())
            own.append(float(optimizer.clip_grad_norm(1.0)))
            optimizer.step()
    assert norms[1] == [norms[0][0], *norms[0][:-1]]
    assert torch.equal(optimizers[0].flat, optimizers[1].flat)
    before = optimizers[1].flat.clone()
    optimizers[1].gradient[0] = float("nan")
    assert float(optimizers[1].clip_grad_norm(1.0)) == norms[0][-1]
    optimizers[1].step()
    assert torch.equal(optimizers[1].flat, before)
    with pytest.raises(FloatingPointError, match="the gradient of the last update is not finite"):
        optimizers[1].state_dict()
    optimizers[1].zero_grad()
    assert not torch.isfinite(optimizers[1].clip_grad_norm(1.0))
