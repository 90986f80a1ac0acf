"""The kernels that a training on a GPU runs between matrix products, against the plain formulas in float64; without a GPU by Triton's interpreter."""

from importlib import import_module
from types import SimpleNamespace

import pytest
import torch
from kernel_device import DEVICE
from torch import nn
from torch.nn.functional import conv1d, glu, layer_norm, relu, silu

from speechllm_plugin.models import kernels, residual
from speechllm_plugin.models.attention import SelfAttention
from speechllm_plugin.models.feed_forward import FeedForward, half_step

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:Conversion of an array")]  # inside the interpreter
SHAPES = [(3, 7, 24), (2, 70, 40), (1, 1, 64)]
WIDE = [(2, 13, 301), (3, 40, 512)]  # whose channels need more than one tile
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 6e-3}


def drawn(*shape, dtype=torch.float32):
    return torch.randn(*shape).to(DEVICE, dtype).requires_grad_()


def in_double(*tensors):
    return [tensor.detach().double().requires_grad_() for tensor in tensors]


def compare(outputs, expected, inputs, oracles, dtype=torch.float32):
    """Outputs, and the gradients of inputs for the same random gradients of the outputs, are those of the oracles."""
    gradients = [torch.randn_like(each) for each in expected]
    torch.autograd.backward(outputs, [gradient.to(out.dtype) for gradient, out in zip(gradients, outputs)])
    torch.autograd.backward(expected, [gradient.to(out.dtype).double() for gradient, out in zip(gradients, outputs)])
    pairs = [*zip(outputs, expected), *((own.grad, oracle.grad) for own, oracle in zip(inputs, oracles))]
    for number, (own, oracle) in enumerate(pairs):
        distance = (own.double() - oracle).norm() / oracle.norm().clamp(min=1e-9)
        assert distance < TOLERANCE[dtype], (number, distance)


def make_norm(dim, dtype=torch.float32):
    norm = nn.LayerNorm(dim).to(DEVICE, dtype)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("factor", [1.0, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_residual_and_norm(shape, factor, dtype, monkeypatch):
    monkeypatch.setattr("speechllm_plugin.models.kernels.residual_norm.PROGRAMS", 2)  # so that one has several tiles
    x, branch, norm = drawn(*shape, dtype=dtype), drawn(*shape, dtype=dtype), make_norm(shape[-1], dtype)
    oracles = in_double(x, branch, norm.weight, norm.bias)
    total = oracles[0] + factor * oracles[1]
    outputs = kernels.add_norm(x, branch, None, norm, factor, 0.0, dtype)
    compare(outputs, (total, layer_norm(total, shape[-1:], *oracles[2:], norm.eps)), [x, branch, norm.weight, norm.bias], oracles, dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_only_one_of_sum_and_norm_is_used(shape):
    x, branch, norm = drawn(*shape), drawn(*shape), make_norm(shape[-1])
    oracles = in_double(x, branch)
    compare([kernels.add_norm(x, branch, None, norm, 0.5, 0.0, x.dtype)[0]], [oracles[0] + 0.5 * oracles[1]], [x, branch], oracles)
    assert norm.weight.grad is None
    x.grad = branch.grad = None
    oracles = in_double(x, branch, norm.weight, norm.bias)
    expected = layer_norm(oracles[0] + 0.5 * oracles[1], shape[-1:], *oracles[2:], norm.eps)
    compare([kernels.add_norm(x, branch, None, norm, 0.5, 0.0, x.dtype)[1]], [expected], [x, branch, norm.weight, norm.bias], oracles)


@pytest.mark.parametrize("shape", SHAPES)
def test_norm_alone_and_sum_alone(shape):
    x, branch, norm = drawn(*shape), drawn(*shape), make_norm(shape[-1])
    oracles = in_double(x, norm.weight, norm.bias)
    inputs = [x, norm.weight, norm.bias]
    expected = layer_norm(oracles[0], shape[-1:], *oracles[1:], norm.eps)
    compare(kernels.layer_norm(x, norm, x.dtype), [oracles[0].clone(), expected], inputs, oracles)
    for used in (0, 1):
        x.grad = norm.weight.grad = norm.bias.grad = None
        oracles = in_double(x, norm.weight, norm.bias)
        expected = [oracles[0].clone(), layer_norm(oracles[0], shape[-1:], *oracles[1:], norm.eps)][used]
        compare([kernels.layer_norm(x, norm, x.dtype)[used]], [expected], inputs[: 1 + 2 * used], oracles)
    x.grad = None
    oracles = in_double(x, branch)
    compare([kernels.add(x, branch, None, 1.0, 0.0)], [oracles[0] + oracles[1]], [x, branch], oracles)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("probability", [0.0, 0.3])
@pytest.mark.parametrize("has_norm", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_bias_of_a_branch(shape, has_norm, probability, dtype, monkeypatch):
    """Its gradient is that of the branch, behind dropout and factor, summed over rows."""
    monkeypatch.setattr("speechllm_plugin.models.kernels.residual_norm.PROGRAMS", 2)
    x, branch, bias = drawn(*shape, dtype=dtype), drawn(*shape, dtype=dtype), drawn(shape[-1], dtype=dtype)
    rest = (make_norm(shape[-1], dtype), 0.5, probability, dtype) if has_norm else (0.5, probability)
    outputs = (kernels.add_norm if has_norm else kernels.add)(x, branch, bias, *rest)
    for out in outputs if has_norm else [outputs]:
        x.grad = branch.grad = bias.grad = None
        out.backward(torch.randn_like(out), retain_graph=True)
        expected = branch.grad.double().flatten(0, 1).sum(0)
        assert bias.grad.dtype == dtype
        assert (bias.grad.double() - expected).norm() < 2 * TOLERANCE[dtype] * branch.grad.double().norm()


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_layer_has_the_gradients_of_the_plain_formulas(frozen, autocast, monkeypatch):
    torch.manual_seed(1)
    x, feed_forward = drawn(2, 9, 24), FeedForward(24, 40, silu, 0.0, 0.0).to(DEVICE)
    feed_forward.fc2.bias.requires_grad_(not frozen)
    inputs = [x, *(weight for weight in feed_forward.parameters() if weight.requires_grad)]
    given = torch.randn(2, 9, 24, device=DEVICE)

    def results(function):
        with torch.autocast(DEVICE, torch.bfloat16, enabled=autocast):
            out = function(x)
        return [out, *torch.autograd.grad(out, inputs, given.to(out.dtype))]

    functions = [lambda x: half_step(feed_forward, x), feed_forward, lambda x: feed_forward.transform(feed_forward.norm(x)).mul_(2)]
    monkeypatch.setattr(kernels, "available", lambda x: False)
    expected = [results(function) for function in functions]
    monkeypatch.setattr(kernels, "available", lambda x: True)
    for function, plain in zip(functions, expected):
        for own, other in zip(results(function), plain):
            assert own.dtype == other.dtype
            torch.testing.assert_close(own, other, atol=0.1 if autocast else 1e-5, rtol=0.05 if autocast else 1e-5)


def test_a_bias_costs_no_pass_of_its_own(monkeypatch):
    monkeypatch.setattr(kernels, "available", lambda x: True)
    monkeypatch.setattr(residual._Biased, "backward", None)
    feed_forward, attention = FeedForward(24, 40, silu, 0.1, 0.1).to(DEVICE), SelfAttention(24, 2, 0.0).to(DEVICE)
    context = SimpleNamespace(sight=None, mask=torch.ones(1, 1, 1, 7, dtype=torch.bool, device=DEVICE), positions=None)
    x = drawn(3, 7, 24)
    total, normed = residual.add_normed(half_step(feed_forward, x), attention(x, context)[0], nn.Dropout(0.1), make_norm(24))
    (total + normed).sum().backward()
    assert feed_forward.fc2.bias.grad.abs().min() > 0 and attention.out_proj.bias.grad.abs().min() > 0


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", ["relu", "silu"])
@pytest.mark.parametrize("shape", [*SHAPES, *WIDE])
def test_activations(shape, name, dtype):
    x, bias = drawn(*shape, dtype=dtype), drawn(shape[-1], dtype=dtype)
    oracles = in_double(x, bias)
    expected = {"relu": relu, "silu": silu}[name](oracles[0] + oracles[1])
    compare([kernels.activate(x, bias, name, 0.0)], [expected], [x, bias], oracles, dtype)


def test_a_subclass_of_a_linear_layer_computes_what_it_computes(monkeypatch):
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    x, feed_forward = drawn(2, 9, 24), FeedForward(24, 40, silu, 0.0, 0.0).to(DEVICE)
    feed_forward.fc1, feed_forward.fc2 = Doubled(24, 40).to(DEVICE), Doubled(40, 24).to(DEVICE)
    monkeypatch.setattr(kernels, "available", lambda x: False)
    expected = half_step(feed_forward, x)
    monkeypatch.setattr(kernels, "available", lambda x: True)
    torch.testing.assert_close(half_step(feed_forward, x), expected)


def test_hooks_of_a_linear_layer_are_called(monkeypatch):
    monkeypatch.setattr(kernels, "available", lambda x: True)
    x, feed_forward, called = drawn(2, 9, 24), FeedForward(24, 40, silu, 0.0, 0.0).to(DEVICE), []
    for layer in (feed_forward.fc1, feed_forward.fc2):
        layer.register_forward_pre_hook(lambda layer, inputs: called.append(layer))
    half_step(feed_forward, x)
    assert called == [feed_forward.fc1, feed_forward.fc2]


@pytest.mark.parametrize("call", ["add", "activate"])
def test_dropout_drops_its_share_and_backward_drops_the_same(call):
    probability, x, branch = 0.3, drawn(8, 100, 64), drawn(8, 100, 64)
    out = kernels.add(x, branch, None, 1.0, probability) if call == "add" else kernels.activate(branch, None, "silu", probability)
    without = branch if call == "add" else silu(branch)
    added = out - x if call == "add" else out
    kept = added.abs() > without.abs() * 0.5
    share = 1 - kept.float().mean()
    assert abs(share - probability) < 5 * (probability * (1 - probability) / kept.numel()) ** 0.5
    torch.testing.assert_close(added[kept], (without / (1 - probability))[kept], atol=1e-5, rtol=1e-5)
    assert (added[~kept].abs() < 1e-6).all()
    (gradient,) = torch.autograd.grad(out.sum(), branch)
    assert ((gradient != 0) == kept).float().mean() > 0.9999
    for axis in (0, 1, 2):  # no row, channel or utterance is favoured
        others = [other for other in range(3) if other != axis]
        shares = 1 - kept.float().mean(dim=others)
        number = kept.numel() / len(shares)
        assert ((shares - probability).abs() < 6 * (probability * (1 - probability) / number) ** 0.5).all()


def test_dropout_follows_the_seed():
    x = drawn(4, 50, 32)
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(kernels.activate(x, None, "relu", 0.5))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


def lengths_and_padding(shape):
    lengths = torch.tensor([shape[1]] + [max(1, shape[1] - 3)] * (shape[0] - 1), device=DEVICE)
    return torch.arange(shape[1], device=DEVICE) >= lengths[:, None]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [*SHAPES, *WIDE])
def test_gated_linear_unit(shape, dtype):
    x, bias, padding = drawn(*shape[:2], 2 * shape[2], dtype=dtype), drawn(2 * shape[2], dtype=dtype), lengths_and_padding(shape)
    oracles = in_double(x, bias)
    expected = glu(oracles[0] + oracles[1], dim=-1).masked_fill(padding[..., None], 0)
    compare([kernels.gated_linear_unit(x, bias, padding)], [expected], [x, bias], oracles, dtype)


def test_programs_that_go_through_several_tiles_add_up_the_gradient_of_the_bias(monkeypatch):
    for launches in ("ACTIVATION_LAUNCHES", "GATE_LAUNCHES"):
        monkeypatch.setattr(import_module(kernels.activate.__module__), launches, ((1, 3), (2, 3)))
    test_activations((3, 40, 24), "silu", torch.float32)
    test_gated_linear_unit((3, 40, 24), torch.float32)


@pytest.mark.parametrize("call", ["activate", "gated_linear_unit"])
def test_biases_that_are_missing_frozen_or_of_another_type_and_no_rows(call):
    def run(x, bias):
        padding = torch.zeros(x.shape[:2], dtype=torch.bool, device=DEVICE)
        return kernels.activate(x, bias, "silu", 0.0) if call == "activate" else kernels.gated_linear_unit(x, bias, padding)

    x, bias = drawn(2, 9, 48, dtype=torch.bfloat16), drawn(48)  # as under autocast
    out = run(x, bias)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == torch.bfloat16 and bias.grad.dtype == torch.float32
    frozen = bias.detach()
    assert torch.equal(run(x, frozen), out) and torch.equal(run(x, None), run(x, torch.zeros_like(frozen)))
    for other in (frozen, None):
        x.grad = None
        run(x, other).sum().backward()
        assert (x.grad != 0).any() and frozen.grad is None
    nothing, bias.grad = drawn(0, 9, 48), None
    run(nothing, bias).sum().backward()
    assert nothing.grad.shape == nothing.shape and (bias.grad == 0).all()


def convolved(x, weight):
    return conv1d(x.transpose(1, 2), weight.t()[:, None], padding=len(weight) // 2, groups=x.size(-1)).transpose(1, 2)


@pytest.mark.parametrize("width", [1, 5, 31])
@pytest.mark.parametrize("shape", [*SHAPES, (2, 100, 66)])  # the last one has stretches without an end of a sentence, and two blocks of channels
def test_depthwise_convolution(shape, width):
    x, weight = drawn(*shape), drawn(width, shape[-1])
    oracles = in_double(x, weight)
    compare([kernels.depthwise_conv(x, weight)], [convolved(*oracles)], [x, weight], oracles)


def test_depthwise_convolution_in_16_bits_where_a_program_sums_stretches_of_several_sentences(monkeypatch):
    monkeypatch.setattr(import_module("speechllm_plugin.models.kernels.convolution_over_time"), "SUMMING_PROGRAMS", 3)
    x, weight = drawn(7, 37, 24, dtype=torch.bfloat16), drawn(15, 24, dtype=torch.bfloat16)
    oracles = in_double(x, weight)
    compare([kernels.depthwise_conv(x, weight)], [convolved(*oracles)], [x, weight], oracles, torch.bfloat16)


@pytest.mark.parametrize("shape", [(3, 7, 24), (2, 70, 40)])
def test_batch_norm_and_silu(shape):
    x, weight, bias, keep = drawn(*shape), drawn(shape[-1]), drawn(shape[-1]), ~lengths_and_padding(shape)
    running = torch.zeros(shape[-1], device=DEVICE), torch.ones(shape[-1], device=DEVICE)
    oracles = in_double(x, weight, bias)
    kept = oracles[0][keep]
    mean, variance = kept.mean(0), kept.var(0, unbiased=False)
    expected = silu((oracles[0] - mean) * torch.rsqrt(variance + 1e-5) * oracles[1] + oracles[2])
    out, own_mean, own_variance, number, has_states = kernels.batch_norm_silu(x, keep, weight, bias, *running, 1e-5, lambda sums: sums)
    compare([out], [expected], [x, weight, bias], oracles)
    torch.testing.assert_close(own_mean, mean.float())
    torch.testing.assert_close(own_variance, variance.float())
    assert number == keep.sum() and has_states


def test_batch_norm_over_two_equal_processes_leaves_each_its_own_gradients():
    """The sum over processes is made in place, as all_reduce does it; whoever adds up gradients over processes adds them a second time."""
    keep, running = ~lengths_and_padding((3, 7, 24)), (torch.zeros(24, device=DEVICE), torch.ones(24, device=DEVICE))
    alone = drawn(3, 7, 24), drawn(24), drawn(24)
    both = [tensor.detach().clone().requires_grad_() for tensor in alone]
    for inputs, total in ((alone, lambda sums: sums), (both, lambda sums: sums.mul_(2))):
        out, *_ = kernels.batch_norm_silu(inputs[0], keep, *inputs[1:], *running, 1e-5, total)
        out.square().sum().backward()
    for own, other in zip(both, alone):
        torch.testing.assert_close(own.grad, other.grad)


def test_batch_norm_of_nothing_uses_the_running_statistics():
    x, weight, bias = drawn(1, 4, 8), drawn(8), drawn(8)
    running = torch.randn(8, device=DEVICE), torch.rand(8, device=DEVICE) + 0.5
    nothing = torch.zeros(1, 4, dtype=torch.bool, device=DEVICE)
    oracles = in_double(x, weight, bias)
    expected = silu((oracles[0] - running[0]) * torch.rsqrt(running[1] + 1e-5).double() * oracles[1] + oracles[2])
    compare([kernels.batch_norm_silu(x, nothing, weight, bias, *running, 1e-5, lambda sums: sums)[0]], [expected], [x, weight, bias], oracles)
