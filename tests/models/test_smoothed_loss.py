"""The kernel of the label-smoothed loss against the plain formula in float64. Without a GPU by Triton's interpreter."""

import pytest
import torch
from kernel_device import DEVICE

from speechllm_plugin.criterions.ctc_cross_entropy import label_smoothed_cross_entropy
from speechllm_plugin.models import kernels

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:Conversion of an array")]  # inside the interpreter
PAD = 1


def compare(logits, target, label_smoothing, tolerance=1e-6):
    given = logits.to(DEVICE).detach().requires_grad_()
    each = label_smoothing / (logits.size(-1) - 1)
    loss, plain = kernels.smoothed_loss(given, target.to(DEVICE), 1 - label_smoothing - each, each, PAD)
    (0.7 * loss).backward()
    oracle = given.detach().cpu().double().requires_grad_()
    expected = in_double(oracle, target, label_smoothing)
    (0.7 * expected[0]).backward()
    assert loss.dtype == torch.float32 and given.grad.dtype == logits.dtype and not plain.requires_grad
    for one, other in zip((loss, plain), expected):
        torch.testing.assert_close(one.cpu().double(), other.detach(), rtol=1e-5, atol=1e-5)
    assert (given.grad.cpu().double() - oracle.grad).abs().max() <= tolerance


def in_double(logits, target, label_smoothing):
    """The formula by log-probabilities of all types."""
    scores, real = -logits.log_softmax(-1), target != PAD
    each = label_smoothing / (logits.size(-1) - 1)
    plain = scores.gather(-1, target[..., None])[..., 0][real].sum()
    return (1 - label_smoothing - each) * plain + each * scores[real].sum(), plain


def texts(*lengths, num_types):
    target = torch.randint(4, num_types, (len(lengths), max(lengths)))
    return target.masked_fill(torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None], PAD)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("num_types", [5, 1024, 1030])
def test_loss_and_gradient(num_types, label_smoothing):
    torch.manual_seed(num_types)
    compare(4 * torch.randn(3, 5, num_types), texts(5, 1, 2, num_types=num_types), label_smoothing)


def test_a_part_of_several_texts():
    torch.manual_seed(1)
    compare(torch.randn(2, 9, 30)[:, 3:7], texts(4, 2, num_types=30), 0.1)


def test_nothing_but_padding_and_numbers_that_are_none():
    compare(torch.randn(1, 3, 9), torch.full((1, 3), PAD), 0.1)
    logits = torch.randn(1, 3, 9, device=DEVICE)
    logits[0, 1, 4] = torch.nan
    assert kernels.smoothed_loss(logits, texts(3, num_types=9).to(DEVICE), 0.9, 0.01, PAD)[0].isnan()


def test_the_criterions_formula_is_the_same():
    logits, target = torch.randn(2, 4, 20), texts(4, 3, num_types=20)
    for one, other in zip(label_smoothed_cross_entropy(logits.double(), target, 0.1, PAD), in_double(logits.double(), target, 0.1)):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


def test_the_gradient_takes_the_place_of_a_models_logits():
    weights = torch.randn(2, 4, 20, device=DEVICE, requires_grad=True)
    logits = 2 * weights
    target = texts(4, 3, num_types=20).to(DEVICE)
    place = logits.data_ptr()
    loss, _ = kernels.smoothed_loss(logits, target, 0.9, 0.005, PAD)
    again, _ = kernels.smoothed_loss(logits, target, 0.9, 0.005, PAD)
    (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
    assert gradient.data_ptr() == place
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        again.backward()


def test_weights_keep_theirs():
    for part in (slice(None), slice(2, 12)):
        weights = torch.randn(1, 3, 20, device=DEVICE, requires_grad=True)
        before = weights.detach().clone()
        kernels.smoothed_loss(weights[..., part], texts(3, num_types=10).to(DEVICE), 0.9, 0.01, PAD)[0].backward()
        assert torch.equal(weights, before) and weights.grad.any()


def test_sixteen_bits():
    if DEVICE == "cpu":
        pytest.skip("triton's interpreter reads the bits of bfloat16 as integers")
    compare(torch.randn(3, 6, 2000).bfloat16(), texts(6, 2, 5, num_types=2000), 0.1, tolerance=5e-3)
