"""The CTC head computes types that fill up to a multiple of 8 and leaves them out: values and gradients of a slice, without its copies."""

import pytest
import torch
from torch.autograd import Function

from speechllm_plugin.models.ctc import CTCHead, all_types, first_types
from speechllm_plugin.models.kernels.written_over import given_up, written_over
from tests.support.gpu import needs_gpu


class WrittenOver(Function):
    """The sum of squares, whose gradient takes the place of the numbers."""

    @staticmethod
    def forward(ctx, logits):
        logits = given_up(logits)
        ctx.save_for_backward(logits)
        return logits.square().sum()

    @staticmethod
    def backward(ctx, gradient):
        (logits,) = ctx.saved_tensors
        logits.data.mul_(2 * gradient)
        return written_over(logits)


LOSSES = {
    "of its own": lambda logits: (logits * torch.arange(5.0)).sum(),
    "in place": lambda logits: logits.mul_(torch.arange(5.0)).sum(),
    "written over": WrittenOver.apply,
    "twice": lambda logits: (logits * torch.arange(5.0)).sum() + logits[:, :2].square().sum(),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_values_and_gradients_are_those_of_a_slice(loss):
    x = torch.randn(3, 4, 8, requires_grad=True)
    LOSSES[loss]((1.5 * x)[..., :5].clone()).backward()
    expected, x.grad = x.grad, None
    logits = first_types(1.5 * x, 5)
    assert logits.shape == (3, 4, 5) and torch.equal(logits, 1.5 * x[..., :5])
    LOSSES[loss](logits).backward()
    torch.testing.assert_close(x.grad, expected)


def test_a_gradient_that_stands_over_the_logits_is_not_copied():
    x, seen = torch.randn(3, 4, 8, requires_grad=True), []
    whole = 1.5 * x
    whole.register_hook(lambda gradient: seen.append(gradient.data_ptr()))
    WrittenOver.apply(first_types(whole, 5)).backward()
    assert seen == [whole.data_ptr()]


def test_all_types_come_back_but_only_of_what_left_some_out():
    whole = torch.randn(3, 4, 8, requires_grad=True) * 1.0
    logits = first_types(whole, 5)
    assert all_types(logits) is whole and first_types(whole, 8) is whole
    assert all_types(whole) is whole and all_types(changed := logits * 2) is changed and all_types(plain := torch.zeros(2)) is plain


@needs_gpu
def test_the_head_on_a_gpu_is_that_on_a_cpu():
    torch.manual_seed(1)
    head, x = CTCHead(16, 13), torch.randn(2, 3, 16)
    on_gpu = CTCHead(16, 13).cuda()
    on_gpu.load_state_dict(head.state_dict())
    on_gpu.bfloat16()
    logits = on_gpu(x.cuda().bfloat16())
    assert logits.shape == (2, 3, 13) and all_types(logits).shape == (2, 3, 16)
    torch.testing.assert_close(logits.float().cpu(), head(x), atol=0.05, rtol=0.05)
    logits.square().sum().backward()
    head(x).square().sum().backward()
    torch.testing.assert_close(on_gpu.weight.grad.float().cpu(), head.weight.grad, atol=0.2, rtol=0.05)
