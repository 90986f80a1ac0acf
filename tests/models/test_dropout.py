"""Dropout on the CPU: how often, how much, of what; and the attention around it is torch's."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from speechllm_plugin.models.attention import attention_in_steps
from speechllm_plugin.models.dropout import LEVELS, dropped, survival
from speechllm_plugin.models.relative_positions import ShiftedScores, XLSelfAttention, hidden_outside

NUM_ELEMENTS = 4 * 50_001


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.93])
def test_each_place_of_a_draw_is_dropped_as_often_as_asked_for(probability):
    torch.manual_seed(1)
    kept = survival(torch.ones(NUM_ELEMENTS), probability) != 0
    places = kept.view(-1, 4).double()  # of the four elements of a draw
    deviation = math.sqrt(probability * (1 - probability) / len(places))
    assert (places.mean(0) - (1 - probability)).abs().max() < 5 * deviation + 1 / LEVELS


def test_elements_are_dropped_independently():
    torch.manual_seed(2)
    kept = survival(torch.ones(NUM_ELEMENTS), 0.3).ne(0).double()
    centred = (kept - kept.mean()) / kept.std()
    for lag in (1, 2, 3, 4, 5, 8):
        assert abs((centred[lag:] * centred[:-lag]).mean()) < 5 / math.sqrt(NUM_ELEMENTS)


@pytest.mark.parametrize("probability", [1e-6, 0.1, 1 - 1e-6])
def test_what_is_kept_is_divided_by_its_share(probability):
    rounded = min(max(round(probability * LEVELS), 0), LEVELS - 1) / LEVELS
    values = set(survival(torch.ones(NUM_ELEMENTS, dtype=torch.float64), probability, factor=0.5).tolist()) - {0.0}
    assert values <= {0.5 / (1 - rounded)}


@pytest.mark.parametrize("shape", [(3, 5, 7), (1,), (0, 4)])
def test_values_and_gradients_are_dropped_alike(shape):
    x, dropout = torch.randn(shape, requires_grad=True), nn.Dropout(0.4)
    out = dropped(x, dropout, factor=0.5)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(out, x * gradient)
    torch.manual_seed(3)
    again = dropped(x, dropout)
    torch.manual_seed(3)
    assert torch.equal(again, dropped(x, dropout))


def test_nothing_is_dropped_without_a_probability_or_training():
    x = torch.randn(3, 5)
    for dropout in (nn.Dropout(0.0), nn.Dropout(0.5).eval()):
        assert torch.equal(dropped(x, dropout), x) and torch.equal(dropped(x, dropout, factor=0.5), 0.5 * x)
    assert dropped(x.bfloat16(), nn.Dropout(0.5)).dtype == torch.bfloat16


def random_inputs(num_queries, num_keys):
    torch.manual_seed(4)
    query, key, value = (torch.randn(2, 3, length, 4, dtype=torch.float64, requires_grad=True) for length in (num_queries, num_keys, num_keys))
    seen = torch.rand(2, 1, num_queries, num_keys) < 0.6
    seen[..., 0] = True
    return query, key, value, seen


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("with_bias", [False, True])
def test_attention_in_steps_is_torchs(with_bias, scale):
    query, key, value, mask = random_inputs(5, 7)
    inputs = [query, key, value]
    if with_bias:
        mask = torch.randn(2, 3, 5, 7, dtype=torch.float64).masked_fill(~mask, -math.inf).requires_grad_()
        inputs.append(mask)
    actual, expected = attention_in_steps(query, key, value, mask, 0.0, scale), scaled_dot_product_attention(query, key, value, mask, scale=scale)
    torch.testing.assert_close(actual, expected)
    direction = torch.randn_like(expected)
    gradients = (torch.autograd.grad((out * direction).sum(), inputs) for out in (actual, expected))
    for own, torchs in zip(*gradients):
        torch.testing.assert_close(own, torchs)


def test_attention_drops_weights():
    query, key, _, mask = random_inputs(5, 7)
    value = torch.eye(7, dtype=torch.float64).expand(2, 3, 7, 7)
    weights, some = (attention_in_steps(query, key, value, mask, dropout, None) for dropout in (0.0, 0.5))
    dropped_weights = some == 0
    assert 0 < (dropped_weights & (weights > 0)).sum() < (weights > 0).sum()
    torch.testing.assert_close(some, 2 * weights.masked_fill(dropped_weights, 0))


@pytest.mark.parametrize("num_states", [1, 2, 9])
def test_the_gradient_of_shifted_scores_is_that_of_the_steps(num_states):
    width, lengths = XLSelfAttention.num_positions(num_states), torch.tensor([num_states, (num_states + 1) // 2])
    scores = torch.randn(2, 3, num_states, width, dtype=torch.float64, requires_grad=True)
    mask = (torch.arange(num_states) < lengths[:, None])[:, None, None]
    direction = torch.randn(2, 3, num_states, num_states, dtype=torch.float64)
    results = []
    for bias in (ShiftedScores.apply(scores, mask), hidden_outside(mask, XLSelfAttention.shift(scores))):
        results.append((bias, *torch.autograd.grad((bias.softmax(-1) * direction).sum(), scores)))
    for own, expected in zip(*results):
        torch.testing.assert_close(own, expected)
