"""Relative positions know the lag, in both directions, and nothing else: compared with the formulas, written as loops."""

import math
from types import SimpleNamespace

import pytest
import torch

from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS, rotate

DIM, NUM_HEADS, NUM_STATES = 16, 2, 9
HEAD_DIM = DIM // NUM_HEADS
LENGTHS = torch.tensor([9, 5, 1])


def make_attention(positions):
    attention = SELF_ATTENTIONS[positions](DIM, NUM_HEADS, 0.0).eval()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return attention


def make_context(attention, num_states=NUM_STATES, lengths=LENGTHS):
    mask = (torch.arange(num_states) < lengths[:, None])[:, None, None]
    return SimpleNamespace(sight=None, mask=mask, lengths=lengths, positions=attention.positions(num_states, DIM, NUM_HEADS, torch.device("cpu")))


def attend(attention, query, key, value, context):
    """As the module does behind its projections."""
    return attention.attend(attention.placed(query, context.positions), attention.placed(key, context.positions), value, context)


def sinusoids(lag, dim):
    """Sine and cosine of the lag at each frequency, in turns."""
    angles = [lag / 10000 ** (channel / dim) for channel in range(0, dim, 2)]
    return torch.tensor([value for angle in angles for value in (math.sin(angle), math.cos(angle))])


def xl_score(attention, head, query, key, lag):
    """Dai et al. 2019, section 3.3: content with content, content with lag, and the two biases."""
    rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
    position = attention.position_proj.weight[rows] @ sinusoids(lag, DIM)
    content = (query + attention.content_bias[head]) @ key
    return (content + (query + attention.position_bias[head]) @ position) / math.sqrt(HEAD_DIM)


def rope_score(attention, head, query, key, lag):
    """Su et al. 2021: the inner product after turning the query by the lag, channel i with channel i + D / 2."""
    turned = torch.empty_like(query)
    for i in range(HEAD_DIM // 2):
        angle = lag / 10000 ** (2 * i / HEAD_DIM)
        first, second = query[i], query[i + HEAD_DIM // 2]
        turned[i] = first * math.cos(angle) - second * math.sin(angle)
        turned[i + HEAD_DIM // 2] = first * math.sin(angle) + second * math.cos(angle)
    return turned @ key / math.sqrt(HEAD_DIM)


SCORES = {"xl": xl_score, "rope": rope_score}


@pytest.mark.parametrize("positions", SCORES)
@torch.no_grad()
def test_attention_equals_its_formula(positions):
    attention = make_attention(positions)
    query, key, value = torch.randn(3, len(LENGTHS), NUM_HEADS, NUM_STATES, HEAD_DIM)
    attended = attend(attention, query, key, value, make_context(attention))
    for row, length in enumerate(LENGTHS.tolist()):
        for head in range(NUM_HEADS):
            for i in range(length):
                scores = [SCORES[positions](attention, head, query[row, head, i], key[row, head, j], lag=i - j) for j in range(length)]
                expected = torch.stack(scores).softmax(0) @ value[row, head, :length]
                torch.testing.assert_close(attended[row, head, i], expected, atol=1e-5, rtol=1e-5)


def scores_of_equal_contents(attention, num_states):
    """(S, S) attention weights as logarithms, less that of lag 0, of a query and a key that are the same everywhere."""
    query, key = (torch.linspace(-1, 1, HEAD_DIM).roll(shift).expand(1, NUM_HEADS, num_states, HEAD_DIM) for shift in (0, 3))
    value = torch.eye(num_states).expand(1, NUM_HEADS, -1, -1)
    weights = attend(attention, query, key, value, make_context(attention, num_states, torch.tensor([num_states])))[0, 1]
    return weights.log() - weights.diagonal().log()[:, None]


@pytest.mark.parametrize("positions", SCORES)
@torch.no_grad()
def test_scores_depend_on_the_lag_only(positions):
    attention = make_attention(positions)
    scores, longer = scores_of_equal_contents(attention, NUM_STATES), scores_of_equal_contents(attention, 3 * NUM_STATES)
    by_lag = {}
    for lag in range(1 - NUM_STATES, NUM_STATES):
        same_lag = torch.cat([scores.diagonal(-lag), longer.diagonal(-lag)])
        by_lag[lag] = same_lag[0]
        torch.testing.assert_close(same_lag, same_lag[:1].expand_as(same_lag), atol=1e-4, rtol=1e-4)
    for lag in range(1, NUM_STATES):  # past and future differ, and none is a constant
        assert (by_lag[lag] - by_lag[-lag]).abs() > 1e-4
    assert len({round(score.item(), 4) for score in by_lag.values()}) == 2 * NUM_STATES - 1


@torch.no_grad()
def test_rotation_keeps_lengths():
    attention = make_attention("rope")
    x, (cos, sin) = torch.randn(2, NUM_HEADS, NUM_STATES, HEAD_DIM), make_context(attention).positions.chunk(2, dim=-1)
    torch.testing.assert_close(rotate(x, cos, sin).norm(dim=-1), x.norm(dim=-1))


def one_sided_shift(scores):
    """Dai et al. 2019, appendix B, on (L, L) scores: a column of zeros, read row by row with one number fewer in each, less the first row."""
    length = len(scores)
    flat = [x for row in scores.tolist() for x in [0.0, *row]]
    return torch.tensor(flat[length:]).view(length, length)


@torch.no_grad()
def test_legacy_positions_equal_the_one_sided_shift_of_each_utterance_alone():
    attention = make_attention("legacy")
    scores = torch.randn(len(LENGTHS), NUM_HEADS, NUM_STATES, NUM_STATES)
    shifted = attention.shift(scores, make_context(attention).lengths)
    for row, length in enumerate(LENGTHS.tolist()):
        for head in range(NUM_HEADS):
            expected = one_sided_shift(scores[row, head, :length, :length])
            torch.testing.assert_close(shifted[row, head, :length, :length], expected)


@torch.no_grad()
def test_legacy_attention_equals_the_formula_of_the_studys_code():
    """Positions from 0 to L - 1 before the shift, and a division by the square root of the model dimension."""
    attention = make_attention("legacy")
    query, key, value = torch.randn(3, len(LENGTHS), NUM_HEADS, NUM_STATES, HEAD_DIM)
    attended = attention.attend(query, key, value, make_context(attention))
    for row, length in enumerate(LENGTHS.tolist()):
        for head in range(NUM_HEADS):
            rows = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
            positions = [attention.position_proj.weight[rows] @ sinusoids(place, DIM) for place in range(length)]
            queries, keys = query[row, head, :length], key[row, head, :length]
            by_position = torch.stack([(one + attention.position_bias[head]) @ other for one in queries for other in positions])
            by_content = torch.stack([(one + attention.content_bias[head]) @ other for one in queries for other in keys])
            scores = by_content.view(length, length) + one_sided_shift(by_position.view(length, length))
            expected = (scores / math.sqrt(DIM)).softmax(-1) @ value[row, head, :length]
            torch.testing.assert_close(attended[row, head, :length], expected, atol=1e-5, rtol=1e-5)
