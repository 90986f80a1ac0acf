"""Batch norm: torch's statistics, without padding and over all processes; on request with padding, as in the study's code."""

import pytest
import torch
from tiny_model import make_model, make_speech
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from two_ranks import on_two_ranks

from speechllm_plugin.models.batch_norm import LegacyBatchNorm, MaskedBatchNorm
from speechllm_plugin.models.encoders.conformer import ConvolutionModule
from speechllm_plugin.models.subsampling import padding_of

DIM, LENGTHS = 16, [9, 4, 1]
SHARD_LENGTHS = [[7, 2], [3, 1, 11]]  # of the utterances of each process
BOTH, FIRST, NOBODY = COUNTING = (True, True), (True, False), (False, False)


def assert_near(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def make_batch_norm(norm_type):
    """With random weights; torch's and ours have the same names."""
    norm = norm_type(DIM)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    return norm


def make_states(num_padded=0):
    """(3, 9 + num_padded, DIM) states with garbage at padding, and their padding."""
    states = torch.randn(3, 9 + num_padded, DIM) * 3 + 50
    return states, padding_of(torch.tensor(LENGTHS), states.size(1))


@pytest.mark.parametrize("num_padded", [0, 7, 60])
def test_batch_norm_equals_torchs_on_the_states_without_padding(num_padded):
    ours, torchs = make_batch_norm(MaskedBatchNorm), nn.BatchNorm1d(DIM)
    torchs.load_state_dict(ours.state_dict())
    for _ in range(3):
        states, padding = make_states(num_padded)
        ours_in, torchs_in = states.clone().requires_grad_(), states[~padding].requires_grad_()
        actual, expected = ours(ours_in, padding)[~padding], torchs(torchs_in)
        assert_near(actual, expected)
        weights = torch.randn_like(expected)
        (actual * weights).sum().backward()
        (expected * weights).sum().backward()
        assert_near(ours_in.grad[~padding], torchs_in.grad)
        assert (ours_in.grad[padding] == 0).all()
    torch.testing.assert_close(dict(ours.named_buffers()), dict(torchs.named_buffers()))
    assert_near(ours.weight.grad, torchs.weight.grad)
    ours.eval()
    torchs.eval()
    assert_near(ours(states, padding)[~padding], torchs(states[~padding]))


@pytest.mark.parametrize("num_padded", [0, 7])
def test_legacy_batch_norm_equals_torchs_on_the_padded_tensor(num_padded):
    ours, torchs = make_batch_norm(LegacyBatchNorm), nn.BatchNorm1d(DIM)
    torchs.load_state_dict(ours.state_dict())
    for _ in range(3):
        states, padding = make_states(num_padded)
        ours_in, torchs_in = states.clone().requires_grad_(), states.clone().requires_grad_()
        zero_padded = torchs_in.masked_fill(padding[..., None], 0)
        actual, expected = ours(ours_in, padding)[~padding], torchs(zero_padded.transpose(1, 2)).transpose(1, 2)[~padding]
        assert_near(actual, expected)
        weights = torch.randn_like(expected)
        (actual * weights).sum().backward()
        (expected * weights).sum().backward()
        assert_near(ours_in.grad, torchs_in.grad)
    torch.testing.assert_close(dict(ours.named_buffers()), dict(torchs.named_buffers()))
    assert_near(ours.weight.grad, torchs.weight.grad)


def test_only_legacy_batch_norm_depends_on_the_amount_of_padding():
    states, padding = make_states()
    wider = nn.functional.pad(states, (0, 0, 0, 7)), nn.functional.pad(padding, (0, 7), value=True)
    right, legacy = make_batch_norm(MaskedBatchNorm), make_batch_norm(LegacyBatchNorm)
    assert_near(right(*wider)[:, :9][~padding], right(states, padding)[~padding])
    assert (legacy(*wider)[:, :9] - legacy(states, padding))[~padding].abs().max() > 0.1


def test_legacy_batch_norm_differs_in_training_only():
    right, legacy = make_batch_norm(MaskedBatchNorm), LegacyBatchNorm(DIM)
    legacy.load_state_dict(right.state_dict())
    states, padding = make_states()
    assert (right(states, padding) - legacy(states, padding))[~padding].abs().max() > 0.1
    legacy.load_state_dict(right.state_dict())
    assert torch.equal(right.eval()(states, padding)[~padding], legacy.eval()(states, padding)[~padding])


def test_models_with_and_without_the_flag_share_weights_and_evaluate_alike():
    right, legacy = (make_model("dfp", ("conformer", "xl", "none"), legacy_batch_norm=flag) for flag in (False, True))
    legacy.load_state_dict(right.state_dict())
    speech = make_speech([57, 40, 9])
    evaluated, trained = ([model.train(mode).encoder(*speech).states for model in (right, legacy)] for mode in (False, True))
    assert torch.equal(*evaluated)
    assert (trained[0] - trained[1]).abs().max() > 0.1


@pytest.mark.parametrize("norm_type", [MaskedBatchNorm, LegacyBatchNorm])
def test_batch_norm_takes_a_batch_of_one_state(norm_type):
    norm = make_batch_norm(norm_type)
    out = norm(torch.randn(1, 1, DIM), torch.zeros(1, 1, dtype=torch.bool))
    assert_near(out[0, 0], norm.bias)
    assert all(buffer.isfinite().all() for buffer in norm.buffers())


def make_modules():
    """Two modules with batch norm, since the second one's statistics depend on those of the first."""
    torch.manual_seed(0)
    return nn.ModuleList(ConvolutionModule(DIM, kernel_size=3, legacy_batch_norm=False) for _ in range(2))


def make_shard(rank, step):
    """The utterances of a process in a training step, (length, DIM) each, and as many factors for a loss."""
    generator = torch.Generator().manual_seed(10 * step + rank)
    return [[5 * torch.randn(length, DIM, generator=generator) + rank for length in SHARD_LENGTHS[rank]] for _ in range(2)]


def train(modules, batches, is_dummy=False):
    """Outputs, their gradients and those of the weights in each step, and the buffers after the last; a dummy's loss is 0, as fairseq's."""
    results = []
    for utterances, factors in batches:
        padding = padding_of(torch.tensor([len(utterance) for utterance in utterances]), max(map(len, utterances)))
        states = pad_sequence(utterances, batch_first=True).requires_grad_()
        out = states
        for module in modules:
            module.batch_norm.counts = not is_dummy
            out = out + module(out, padding)
        modules.zero_grad()
        loss = (out * pad_sequence(factors, batch_first=True)).sum()
        (0 * loss if is_dummy else loss).backward()
        gradients = {name: weight.grad.clone() for name, weight in modules.named_parameters()}
        results.append((out.detach()[~padding], states.grad[~padding], gradients))
    return results, dict(modules.named_buffers())


def train_on_two(rank, folder):
    torch.set_num_threads(1)
    batches = [make_shard(rank, step) for step in range(2)]
    torch.save([train(make_modules(), batches, is_dummy=not counting[rank]) for counting in COUNTING], f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """counting -> what `train` returned in each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    on_two_ranks(train_on_two, folder)
    return dict(zip(COUNTING, zip(*(torch.load(folder / f"{rank}.pt") for rank in range(2)))))


def test_two_processes_equal_one_with_the_whole_batch(two_processes):
    (first, first_buffers), (second, second_buffers) = two_processes[BOTH]
    batches = [[sum(parts, []) for parts in zip(make_shard(0, step), make_shard(1, step))] for step in range(2)]
    whole, whole_buffers = train(make_modules(), batches)
    for step in range(2):
        for part in range(2):  # outputs, gradients of the states
            assert_near(torch.cat([first[step][part], second[step][part]]), whole[step][part])
        assert_near({name: first[step][2][name] + second[step][2][name] for name in whole[step][2]}, whole[step][2])
    torch.testing.assert_close(first_buffers, whole_buffers)
    torch.testing.assert_close(second_buffers, first_buffers, atol=0, rtol=0)


def test_a_process_that_does_not_count_changes_nothing(two_processes):
    (first, first_buffers), (second, second_buffers) = two_processes[FIRST]
    alone, alone_buffers = train(make_modules(), [make_shard(0, step) for step in range(2)])
    assert_near(first, alone)
    torch.testing.assert_close(first_buffers, alone_buffers)
    torch.testing.assert_close(second_buffers, first_buffers, atol=0, rtol=0)
    assert all((gradient == 0).all() for _, _, gradients in second for gradient in gradients.values())


def test_where_nobody_counts_the_running_statistics_serve_and_stay(two_processes):
    modules = make_modules().eval()
    for rank, (results, buffers) in enumerate(two_processes[NOBODY]):
        expected, unchanged = train(modules, [make_shard(rank, step) for step in range(2)])
        torch.testing.assert_close(buffers, unchanged, atol=0, rtol=0)
        for (actual, _, gradients), (evaluated, _, _) in zip(results, expected):
            assert_near(actual, evaluated)
            assert all((gradient == 0).all() for gradient in gradients.values())
