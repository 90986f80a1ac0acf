"""CTC compression equals the paper's formulas, written as loops, and keeps the device busy: one wait, no loop."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from speechllm_plugin.models.ctc import (
    COMPRESSIONS,
    compress,
    greedy_labels,
    pool_segments,
)

LENGTHS = [23, 14, 2, 1]
STRIDE = 4


def make_input(lengths=LENGTHS, width=None, num_labels=4):
    """States (B, S, 5), the CTC logits of few labels in runs, padding (B, S) with garbage in states and logits."""
    width = width or max(lengths)
    padding = torch.arange(width) >= torch.tensor(lengths)[:, None]
    logits = torch.randn(len(lengths), width // 3 + 1, num_labels).repeat_interleave(3, dim=1)[:, :width] * 2
    logits = logits + 0.3 * torch.randn(logits.shape)
    states = torch.randn(len(lengths), width, 5)
    states[padding], logits[padding] = 1e4, torch.randn(int(padding.sum()), num_labels) * 100
    return states, logits, padding


def slow_segments(logits, length, compression):
    """Lists of the states that become one."""
    if compression == "fixed":
        return [list(range(start, min(start + STRIDE, length))) for start in range(0, length, STRIDE)]
    labels = logits[:length].argmax(-1).tolist()
    return [list(run) for _, run in itertools.groupby(range(length), key=labels.__getitem__)]


def slow_weights(logits, segment, compression):
    """One per state of a segment; they sum to 1."""
    probability = torch.stack([logits[state].softmax(-1).max() for state in segment])
    if compression == "weighted":
        return probability / probability.sum()
    return probability.softmax(0) if compression == "softmax" else torch.full_like(probability, 1 / len(segment))


def slow_compress(states, logits, lengths, compression):
    """Per sentence its merged states."""
    return [
        torch.stack(
            [
                sum(weight * states[row, state] for weight, state in zip(slow_weights(logits[row], segment, compression), segment))
                for segment in slow_segments(logits[row], length, compression)
            ]
        )
        for row, length in enumerate(lengths)
    ]


def fast_compress(states, logits, padding, compression):
    return compress(states, logits, padding, SimpleNamespace(ctc_compression=compression, ctc_compression_stride=STRIDE))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("width", [23, 40])
def test_compression_equals_the_formulas(compression, width):
    states, logits, padding = make_input(width=width)
    merged, merged_padding = fast_compress(states, logits, padding, compression)
    expected = slow_compress(states, logits, LENGTHS, compression)
    assert (~merged_padding).sum(1).tolist() == [len(rows) for rows in expected]
    assert merged.size(1) == max(len(rows) for rows in expected) < max(LENGTHS)
    for row, rows in enumerate(expected):
        torch.testing.assert_close(merged[row, : len(rows)], rows, atol=1e-6, rtol=1e-6)
        assert (merged[row, len(rows) :] == 0).all()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_the_strategies_differ(compression):
    states, logits, padding = make_input()
    merged, _ = fast_compress(states, logits, padding, compression)
    for other in COMPRESSIONS.keys() - {compression}:
        different, _ = fast_compress(states, logits, padding, other)
        assert different.shape != merged.shape or not torch.allclose(different, merged, atol=1e-3)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_one_state_stays_as_it_is(compression):
    states, logits, padding = make_input([1])
    merged, merged_padding = fast_compress(states, logits, padding, compression)
    torch.testing.assert_close(merged, states)
    assert merged_padding.tolist() == [[False]]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_gradients_equal_those_of_the_formulas(compression):
    states, logits, padding = make_input()
    fast, slow = states.clone().requires_grad_(), states.clone().requires_grad_()
    logits.requires_grad_()
    merged, merged_padding = fast_compress(fast, logits, padding, compression)
    expected = torch.cat(slow_compress(slow, logits.detach(), LENGTHS, compression))
    factor = torch.randn_like(expected)
    (merged[~merged_padding] * factor).sum().backward()
    (expected * factor).sum().backward()
    torch.testing.assert_close(fast.grad, slow.grad, atol=1e-6, rtol=1e-6)
    assert (fast.grad[padding] == 0).all()
    assert logits.grad is None


def test_impossible_labels_divide_nothing_by_zero():
    states, _, padding = make_input([3])
    merged, lengths = pool_segments(states, torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3), padding)
    assert merged.isfinite().all() and lengths.tolist() == [1]


class OperationCounter(TorchDispatchMode):
    """Names of all operations, and how often the host would wait for a GPU."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_consecutive", "equal", "repeat_interleave")

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        # indexing with a mask waits for the number of True
        indices = args[1] if operation._opname in ("index", "index_put_") else ()
        is_mask = any(index is not None and index.dtype == torch.bool for index in indices)
        self.names.append("nonzero" if is_mask else operation._opname)
        return operation(*args, **(kwargs or {}))

    def __enter__(self):
        self.reads = ReadCounter(self.names)
        self.reads.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.reads.__exit__(*error)

    @property
    def num_waits(self):
        return sum(name in self.WAITS for name in self.names)


class ReadCounter(TorchFunctionMode):
    """Adds to `names` the reads of whole tensors, which are no operation where the tensor is on the CPU already."""

    def __init__(self, names):
        super().__init__()
        self.names = names

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("tolist", "cpu", "numpy", "__array__"):
            self.names.append("nonzero")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compression_waits_once_and_loops_over_nothing(compression):
    operations = []
    for lengths in (LENGTHS, [200, 150, 120, 90, 60, 30, 10, 1]):
        with OperationCounter() as counter:
            arguments = make_input(lengths)
            counter.names.clear()
            fast_compress(*arguments, compression)
        assert counter.num_waits == 1                                   # for the shape of the result
        operations.append(counter.names)
    assert operations[0] == operations[1]


def test_greedy_labels_equal_a_loop():
    _, logits, _ = make_input()
    blank = logits.size(-1) - 1
    actual = greedy_labels(logits, torch.tensor(LENGTHS), blank)
    for row, length in enumerate(LENGTHS):
        merged = [label for label, _ in itertools.groupby(logits[row, :length].argmax(-1).tolist())]
        assert [label for label in actual[row].tolist() if label >= 0] == [label for label in merged if label != blank]
