"""Positions in the decoder: sinusoids and rotations are those of the numbers that a position is said to have, and of nothing else."""

import math

import pytest
import torch
from tiny_model import DIM, FEW_ENCODERS, make_model, make_speech, make_tokens

from speechllm_plugin.models.positions import FIRST_POSITION

LENGTHS, NUM_TOKENS = [57, 22, 1], 5  # 15, 6 and 1 states
KINDS = ["none", "own", "continued"]


def numbers_of(kind, num_states):
    """Of the states and of the tokens, as --help says them."""
    first = num_states if kind == "continued" else 0
    return [0 if kind == "none" else number for number in range(num_states)], [first + number for number in range(NUM_TOKENS)]


def sinusoids(numbers):
    """fairseq's: sines, then cosines, of frequencies from 1 to 1 / 10000."""
    frequencies = [10000 ** (-channel / (DIM // 2 - 1)) for channel in range(DIM // 2)]
    return torch.tensor([[wave((number + FIRST_POSITION) * f) for wave in (math.sin, math.cos) for f in frequencies] for number in numbers])


def turned(vector, number):
    """Channel i with channel i + D / 2, by number / 10000^(2i / D)."""
    half, out = len(vector) // 2, vector.clone()
    for i in range(half):
        angle = number / 10000 ** (i / half)
        out[i] = vector[i] * math.cos(angle) - vector[i + half] * math.sin(angle)
        out[i + half] = vector[i] * math.sin(angle) + vector[i + half] * math.cos(angle)
    return out


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_sinusoids_are_added_to_text_and_speech(kind):
    model, tokens = make_model("dfp", prefix_positions=kind), make_tokens(3, NUM_TOKENS)
    decoder, speech = model.decoder, model.encoder(*make_speech(LENGTHS))
    prefix, text = decoder.prefix(speech), decoder.embed_text(tokens, speech)
    for row, num_states in enumerate((~speech.padding).sum(1).tolist()):
        of_speech, of_text = (sinusoids(numbers) for numbers in numbers_of(kind, num_states))
        expected = speech.states[row, :num_states] + (0 if kind == "none" else of_speech)
        torch.testing.assert_close(prefix[row, :num_states], expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(text[row], decoder.embedding(tokens[row]) * DIM**0.5 + of_text, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_rotations_are_those_of_the_lag_between_numbers(kind):
    """The first layer's weights over the speech, from scores in which query and key are turned one by one."""
    model, tokens = make_model("dfp", decoder_positions="rope", prefix_positions=kind), make_tokens(3, NUM_TOKENS)
    decoder, speech = model.decoder, model.encoder(*make_speech(LENGTHS))
    weights, layer = decoder.attention_to_speech(tokens, speech, layer=0, heads=[1]), decoder.layers[0]
    text = decoder.embedding(tokens) * DIM**0.5  # nothing is added
    head = slice(DIM // 2, DIM)
    for row, num_states in enumerate((~speech.padding).sum(1).tolist()):
        numbers = numbers_of(kind, num_states)
        for position in range(NUM_TOKENS):
            projected = layer.self_attn.qkv_proj(layer.self_attn_norm(torch.cat([speech.states[row, :num_states], text[row, : position + 1]])))
            query, keys = projected[-1, :DIM][head], projected[:, DIM : 2 * DIM][:, head]
            keys = torch.stack([turned(key, number) for key, number in zip(keys, numbers[0] + numbers[1][: position + 1], strict=True)])
            expected = (keys @ turned(query, numbers[1][position]) / (DIM // 2) ** 0.5).softmax(0)[:num_states]
            torch.testing.assert_close(weights[row, position, :num_states], expected / expected.sum(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("decoder", ["xattn-rope", "dfp-rope", "dfp-rope-continued"])
@torch.no_grad()
def test_rotary_positions_know_the_order_of_the_text_and_only_lags(decoder, monkeypatch):
    model, speech, tokens = make_model(decoder), make_speech(LENGTHS), make_tokens(3, NUM_TOKENS)
    logits = model(*speech, tokens).logits
    swapped = model(*speech, tokens[:, [1, 0, *range(2, NUM_TOKENS)]]).logits
    assert ((swapped - logits)[:, 2:].abs().amax(-1) > 1e-4).all()
    of_layers = model.decoder.positions.for_layers
    monkeypatch.setattr(model.decoder.positions, "for_layers", lambda numbers: of_layers(numbers + 100))
    torch.testing.assert_close(model(*speech, tokens).logits, logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_states_of_no_encoder_get_positions_once(kind, encoder):
    model = make_model("dfp", encoder, prefix_positions=kind)
    given = encoder[1] == "none" and not (encoder[0] == "none" and kind != "none")
    states = torch.zeros(1, 3, DIM)
    torch.testing.assert_close(model.encoder.positions(states)[0], sinusoids(range(3)) if given else states[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["own", "continued"])
@torch.no_grad()
def test_a_table_that_grows_leaves_the_old_one_where_it_is(kind):
    """Captured graphs go on reading it."""
    model = make_model("dfp", prefix_positions=kind)
    table = model.decoder.positions.sinusoids.table
    content, place = table.clone(), table.data_ptr()
    model(*make_speech([4000]), make_tokens(1, 100))
    del table
    grown = model.decoder.positions.sinusoids
    assert len(grown.table) > len(content) and any(old.data_ptr() == place and old.equal(content) for old in grown.outgrown)
