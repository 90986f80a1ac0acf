"""CTC compression equals the paper's formulas, written as loops, and keeps the device busy: one wait, no loop."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from gpu import needs_gpu
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from speechllm_plugin.models.compressions import COMPRESSIONS
from speechllm_plugin.models.ctc import greedy_labels
from speechllm_plugin.models.merging import compress, merge_evenly, pool_segments, slow_compress

LENGTHS, ONLY_BLANKS = [23, 14, 9, 2, 1], 2  # this row has no other label
STRIDE = 4
# --ctc-compression, --ctc-compression-stride, --ctc-compression-max-length
STRATEGIES = list(itertools.product(COMPRESSIONS, [STRIDE], [0, 3]))


def make_input(lengths=LENGTHS, width=None, num_labels=4):
    """States (B, S, 5), the CTC logits of few labels in runs, padding (B, S) with garbage in states and logits."""
    width = width or max(lengths)
    padding = torch.arange(width) >= torch.tensor(lengths)[:, None]
    logits = torch.randn(len(lengths), width // 3 + 1, num_labels).repeat_interleave(3, dim=1)[:, :width] * 2
    logits = logits + 0.3 * torch.randn(logits.shape)
    if len(lengths) > ONLY_BLANKS:
        logits[ONLY_BLANKS, :, -1] += 20
    states = torch.randn(len(lengths), width, 5)
    states[padding], logits[padding] = 1e4, torch.randn(int(padding.sum()), num_labels) * 100
    return states, logits, padding


def flags_of(compression, stride=STRIDE, max_length=0, min_share=0.25):
    return SimpleNamespace(
        ctc_compression=compression, ctc_compression_stride=stride, ctc_compression_max_length=max_length, ctc_compression_min_share=min_share
    )


def fast_compress(states, logits, padding, *strategy, **settings):
    return compress(states, [logits] if isinstance(logits, torch.Tensor) else logits, padding, flags_of(*strategy, **settings))[:2]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
@pytest.mark.parametrize("width", [23, 40])
def test_compression_equals_the_formulas(strategy, width):
    states, logits, padding = make_input(width=width)
    merged, merged_padding = fast_compress(states, logits, padding, *strategy)
    expected = slow_compress(states, logits, LENGTHS, flags_of(*strategy))
    assert (~merged_padding).sum(1).tolist() == [len(rows) for rows in expected]
    assert merged.size(1) == max(len(rows) for rows in expected) < max(LENGTHS)
    for row, rows in enumerate(expected):
        torch.testing.assert_close(merged[row, : len(rows)], rows, atol=1e-6, rtol=1e-6)
        assert (merged[row, len(rows) :] == 0).all()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_logits_may_come_in_parts_of_the_sentences(strategy):
    states, logits, padding = make_input()
    together, in_parts = fast_compress(states, logits, padding, *strategy), fast_compress(states, logits.split([2, 1, 2]), padding, *strategy)
    assert all(torch.equal(one, other) for one, other in zip(together, in_parts))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_half_precision_rounds_the_result_only(strategy, dtype):
    states, logits, padding = (tensor.to(dtype) if tensor.is_floating_point() else tensor for tensor in make_input())
    merged, merged_padding = fast_compress(states, logits, padding, *strategy)
    expected = torch.cat(slow_compress(states.float(), logits.float(), LENGTHS, flags_of(*strategy)))
    assert merged.dtype == dtype
    half_a_unit = torch.finfo(dtype).eps / 2
    torch.testing.assert_close(merged[~merged_padding].float(), expected, atol=1e-6, rtol=1.01 * half_a_unit)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_the_strategies_differ(strategy):
    states, logits, padding = make_input()
    merged, _ = fast_compress(states, logits, padding, *strategy)
    for other in set(STRATEGIES) - {strategy}:
        different, _ = fast_compress(states, logits, padding, *other)
        assert different.shape != merged.shape or not torch.allclose(different, merged, atol=1e-3)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_one_state_stays_as_it_is(strategy):
    for label in range(4):
        states, _, padding = make_input([1])
        merged, merged_padding = fast_compress(states, 9.0 * one_hot(torch.tensor([[label]]), 4), padding, *strategy)
        torch.testing.assert_close(merged, states)
        assert merged_padding.tolist() == [[False]]


@pytest.mark.parametrize("compression", ["avg", "drop_blanks", "merge_blanks"])
def test_nothing_but_blanks_becomes_one_state(compression):
    states, logits, padding = make_input()
    merged, merged_padding = fast_compress(states, logits, padding, compression)
    assert (~merged_padding[ONLY_BLANKS]).sum() == 1
    torch.testing.assert_close(merged[ONLY_BLANKS, 0], states[ONLY_BLANKS, : LENGTHS[ONLY_BLANKS]].mean(0))


@pytest.mark.parametrize(
    ("compression", "max_length", "expected"),
    [
        ("avg", 0, ". aa .. b .. b ..."),
        ("drop_blanks", 0, "aa b b"),
        ("merge_blanks", 0, ".aa ..b ..b..."),
        ("avg", 3, ".aa.. b.. b..."),
        ("drop_blanks", 2, "aab b"),
        ("merge_blanks", 2, ".aa..b ..b..."),
    ],
)
def test_a_made_up_example(compression, max_length, expected):
    """Blanks (.) at the start, between different labels, between equal ones, and at the end; what stands between spaces becomes one."""
    labels = ".aa..b..b..."
    logits = 9.0 * one_hot(torch.tensor([["ab.".index(label) for label in labels]]), 3)
    is_label = torch.tensor([[label == wanted for wanted in "ab."] for label in labels]).float()[None]
    merged, _ = fast_compress(is_label, logits, torch.zeros(1, len(labels), dtype=torch.bool), compression, max_length=max_length)
    shares = [[segment.count(wanted) / len(segment) for wanted in "ab."] for segment in expected.split()]
    torch.testing.assert_close(merged[0], torch.tensor(shares))


@pytest.mark.parametrize(("min_share", "kept"), [(0.01, "a a b b"), (4 / 12, "a a b b"), (0.35, "a a b b ."), (0.5, "a a . b b ."), (1, "all")])
def test_the_least_probable_blanks_make_up_for_a_share_that_is_missing(min_share, kept):
    labels, unlikely_blanks = ".aa..b..b...", (11, 4)  # the least likely one first
    logits = 9.0 * one_hot(torch.tensor([["ab.".index(label) for label in labels]]), 3)
    for number, state in enumerate(unlikely_blanks, 1):
        logits[0, state, 0] = 3.0 - number
    states, padding = torch.arange(13.0)[None, :, None].repeat(1, 1, 2), torch.arange(13)[None] == 12  # padding, as a longer neighbour makes it
    logits = torch.cat([logits, torch.full((1, 1, 3), torch.nan)], dim=1)
    merged, merged_padding = fast_compress(states, logits, padding, "drop_blank_states", min_share=min_share)
    assert not merged_padding.any()
    chosen = [int(state) for state in merged[0, :, 0]]
    assert chosen == list(range(12)) if kept == "all" else "".join(labels[state] for state in chosen) == kept.replace(" ", "")
    assert set(chosen) >= {1, 2, 5, 8} and (11 in chosen) == (min_share > 4 / 12) and (4 in chosen) == (min_share >= 0.5)


@pytest.mark.parametrize("min_share", [0.05, 0.3, 0.9])
def test_an_utterance_of_blanks_keeps_its_share(min_share):
    states, logits, padding = make_input()
    logits[..., -1] += 40  # the probability of a blank is 1 everywhere in float32; which is least is still found
    merged, merged_padding = fast_compress(states, logits, padding, "drop_blank_states", min_share=min_share)
    assert (~merged_padding).sum(1).tolist() == [math.ceil(length * min_share) for length in LENGTHS]
    others = [logits[row, :length, :-1].logsumexp(-1) - logits[row, :length, -1] for row, length in enumerate(LENGTHS)]
    for row, odds in enumerate(others):
        best = odds.topk(math.ceil(LENGTHS[row] * min_share)).indices.sort().values
        torch.testing.assert_close(merged[row, : len(best)], states[row, best])


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_gradients_equal_those_of_the_formulas(strategy):
    states, logits, padding = make_input()
    fast, slow = states.clone().requires_grad_(), states.clone().requires_grad_()
    logits.requires_grad_()
    merged, merged_padding = fast_compress(fast, logits, padding, *strategy)
    expected = torch.cat(slow_compress(slow, logits.detach(), LENGTHS, flags_of(*strategy)))
    factor = torch.randn_like(expected)
    (merged[~merged_padding] * factor).sum().backward()
    (expected * factor).sum().backward()
    torch.testing.assert_close(fast.grad, slow.grad, atol=1e-6, rtol=1e-6)
    assert (fast.grad[padding] == 0).all()
    assert logits.grad is None


@pytest.mark.parametrize("max_length", [1, 2, 5, 7, 22, 23, 24])
def test_a_capped_length_is_shared_evenly_among_neighbours(max_length):
    segment, padding = torch.arange(40).expand(len(LENGTHS), -1), torch.arange(40) >= torch.tensor(LENGTHS)[:, None]
    merged = merge_evenly(segment, padding, max_length)
    for row, length in enumerate(LENGTHS):
        sizes = merged[row, :length].bincount()
        assert len(sizes) == min(length, max_length)
        assert 1 <= sizes.max() <= sizes.min() + 1
        assert (merged[row, :length].diff() >= 0).all()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_what_gpus_compute_is_the_same(strategy, monkeypatch):
    """Their operations, on a CPU: states and gradients."""
    states, logits, padding = make_input()
    results = []
    for is_cuda in (False, True):
        monkeypatch.setattr(torch.Tensor, "is_cuda", is_cuda)
        own = states.clone().requires_grad_()
        merged, _ = fast_compress(own, logits, padding, *strategy)
        results.append((merged.detach(), *torch.autograd.grad(merged.square().sum(), own)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


@needs_gpu
@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_a_gpu_compresses_to_the_same_bits_again(strategy):
    states, logits, padding = (each.cuda() for each in make_input(lengths=[250, *range(150, 190)]))
    own = states.requires_grad_()
    first, *_ = fast_compress(own, logits, padding, *strategy)
    with torch.no_grad():
        again = [fast_compress(own, logits, padding, *strategy)[0] for _ in range(20)]
    assert all(torch.equal(each, first) for each in again)


def test_impossible_labels_divide_nothing_by_zero():
    states, _, padding = make_input([3])
    merged, lengths, _ = pool_segments(states, torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3), padding)
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


@pytest.mark.parametrize("strategy", STRATEGIES, ids=str)
def test_compression_waits_once_and_loops_over_nothing(strategy):
    operations = []
    for lengths in (LENGTHS, [200, 150, 120, 90, 60, 30, 10, 1]):
        with OperationCounter() as counter:
            arguments = make_input(lengths)
            counter.names.clear()
            fast_compress(*arguments, *strategy)
        assert counter.num_waits == 1  # for the shape of the result
        operations.append(counter.names)
    assert operations[0] == operations[1]


def test_greedy_labels_equal_a_loop():
    _, logits, _ = make_input()
    blank = logits.size(-1) - 1
    actual = greedy_labels(logits, torch.tensor(LENGTHS), blank)
    for row, length in enumerate(LENGTHS):
        merged = [label for label, _ in itertools.groupby(logits[row, :length].argmax(-1).tolist())]
        assert [label for label in actual[row].tolist() if label >= 0] == [label for label in merged if label != blank]
