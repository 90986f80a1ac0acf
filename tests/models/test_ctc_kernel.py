"""CTC's kernels against torch's loss in float64: losses and gradients of whatever a transcript can be. Without a GPU by Triton's interpreter."""

import pytest
import torch
from gpu import needs_gpu
from kernel_device import DEVICE
from torch.nn.functional import ctc_loss, log_softmax

from speechllm_plugin.models import kernels

OF_THE_INTERPRETER = ("Conversion of an array", "divide by zero")
pytestmark = [pytest.mark.gpu, *(pytest.mark.filterwarnings(f"ignore:{text}") for text in OF_THE_INTERPRETER)]
NUM_TYPES, BLANK = 11, 10


def oracle(logits, labels, lengths, label_lengths):
    """torch's loss on the CPU in float64, and the gradient of the logits for a gradient of 0.7."""
    logits = logits.detach().cpu().double().requires_grad_()
    own = [labels.cpu(), lengths.cpu(), label_lengths.cpu()]
    loss = ctc_loss(log_softmax(logits, -1).transpose(0, 1), *own, blank=logits.size(-1) - 1, reduction="sum", zero_infinity=True)
    (0.7 * loss).backward()
    return loss.detach(), logits.grad


def compare(logits, labels, lengths, label_lengths, tolerance=1e-5):
    logits = logits.to(DEVICE).detach().requires_grad_()
    numbers = [torch.as_tensor(each, device=DEVICE) for each in (labels, lengths, label_lengths)]
    loss = kernels.ctc_loss(logits, *numbers, logits.size(-1) - 1)
    (0.7 * loss).backward()
    expected, gradient = oracle(logits, *numbers)
    assert loss.dtype == torch.float32 and logits.grad.dtype == logits.dtype
    torch.testing.assert_close(loss.cpu().double(), expected, rtol=1e-5, atol=1e-5)
    assert (logits.grad.cpu().double() - gradient).abs().max() <= tolerance * max(1, float(gradient.abs().max()))
    return loss, logits.grad


def transcripts(label_lengths, num_labels=BLANK, width=None):
    """Random labels; behind the ends stand numbers that are no label."""
    width = max([*label_lengths, 1]) if width is None else width
    labels = torch.randint(0, num_labels, (len(label_lengths), width))
    return labels.masked_fill(torch.arange(width) >= torch.tensor(label_lengths)[:, None], 1)


@pytest.mark.parametrize("num_labels", [1, 2, BLANK])  # of few labels many are repeated
@pytest.mark.parametrize(
    ("lengths", "label_lengths"),
    [
        ([1], [1]),
        ([1, 2, 3, 9], [1, 1, 2, 4]),
        ([9, 7, 1, 5], [0, 3, 0, 2]),  # empty transcripts
        ([3, 9, 4, 1], [7, 2, 4, 3]),  # more labels than states
        ([33, 20, 8], [16, 17, 4]),  # more labels than are looked at at once
    ],
)
def test_loss_and_gradient(lengths, label_lengths, num_labels):
    torch.manual_seed(len(lengths))
    logits = 2 * torch.randn(len(lengths), max(lengths) + 2, NUM_TYPES)
    loss, gradient = compare(logits, transcripts(label_lengths, num_labels), lengths, label_lengths)
    for row, length in zip(gradient, lengths):
        assert not row[length:].any()
    assert loss.isfinite()


@pytest.mark.parametrize("length", range(1, 9))
def test_lengths_from_one(length):
    compare(torch.randn(2, 8, NUM_TYPES), transcripts([2, 1]), [length, 9 - length], [2, 1])


def test_what_is_impossible_adds_nothing():
    logits, labels = torch.randn(3, 4, NUM_TYPES), torch.tensor([[5, 5, 5], [1, 2, 3], [7, 7, 1]])
    loss, gradient = compare(logits, labels, [4, 4, 2], [3, 3, 2])  # 5 5 5 and 7 7 need 5 and 3 states
    assert not gradient[0].any() and not gradient[2].any()
    alone, _ = compare(logits[1:2], labels[1:2], [4], [3])
    torch.testing.assert_close(loss, alone)
    nothing, gradient = compare(logits[:1], labels[:1], [4], [3])
    assert nothing == 0 and not gradient.any()


def test_a_large_vocabulary_and_rows_of_a_wider_tensor():
    torch.manual_seed(1)
    wide = torch.randn(2, 4, 1032)
    wide[1, 2, 1025] += 50  # the largest is in the second part
    compare(wide[..., :1027], transcripts([3, 2], 1026), [4, 3], [3, 2])


def test_a_long_utterance():
    torch.manual_seed(2)
    compare(3 * torch.randn(1, 150, NUM_TYPES), transcripts([60]), [150], [60], tolerance=3e-5)


def test_impossible_labels_and_numbers_that_are_none():
    logits = torch.randn(2, 5, NUM_TYPES)
    logits[0, :, 3] = -torch.inf
    loss, gradient = compare(logits.clone(), torch.tensor([[3, 1], [2, 2]]), [5, 5], [2, 2])
    assert not gradient[0].any() and loss.isfinite()
    logits[1, 2, 4] = torch.nan
    numbers = [torch.as_tensor(each, device=DEVICE) for each in ([[3, 1], [2, 2]], [5, 5], [2, 2])]
    assert kernels.ctc_loss(logits.to(DEVICE), *numbers, BLANK).isnan()  # never zero in silence


def test_the_gradient_takes_the_place_of_a_models_logits():
    torch.manual_seed(3)
    weights = torch.randn(3, 9, NUM_TYPES)
    numbers = [torch.as_tensor(each, device=DEVICE) for each in (transcripts([4, 2, 3]), [9, 7, 2], [4, 2, 3])]
    given = weights.to(DEVICE).requires_grad_()
    logits = 1 * given
    (0.7 * kernels.ctc_loss(logits, *numbers, BLANK)).backward()
    torch.testing.assert_close(given.grad.cpu().double(), oracle(weights, *numbers)[1], rtol=0, atol=1e-5)
    assert torch.equal(logits, given.grad) and torch.equal(given.cpu(), weights)


def test_sixteen_bits():
    if DEVICE == "cpu":
        pytest.skip("triton's interpreter reads the bits of bfloat16 as integers")
    compare(torch.randn(3, 20, NUM_TYPES).bfloat16(), transcripts([4, 9, 0]), [20, 18, 5], [4, 9, 0], tolerance=5e-3)


@needs_gpu
def test_the_host_waits_for_nothing():
    numbers = [torch.as_tensor(each, device=DEVICE) for each in (transcripts([4, 9]), [20, 18], [4, 9])]
    logits = torch.randn(2, 20, NUM_TYPES, device=DEVICE, requires_grad=True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        kernels.ctc_loss(logits, *numbers, BLANK).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
