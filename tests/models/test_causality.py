"""No position knows what comes after it: text never, speech within the decoder with --causal-prefix."""

import copy

import pytest
import torch
from tiny_model import (
    ALL_DECODERS,
    FEW_ENCODERS,
    NUM_SPECIAL,
    NUM_TARGET_WORDS,
    make_model,
    make_speech,
    make_tokens,
)

LENGTHS = [57, 40, 1]
PREFIX_DECODERS = [decoder for decoder in ALL_DECODERS if decoder.startswith("dfp")]


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=0)


def with_later_tokens_changed(tokens, first):
    """Every token from the position `first` on is another one."""
    changed = tokens.clone()
    changed[:, first:] = (tokens[:, first:] - NUM_SPECIAL + 1) % NUM_TARGET_WORDS + NUM_SPECIAL
    return changed


def assert_text_sees_no_later_text(model, features, lengths, tokens):
    logits = model(features, lengths, tokens).logits
    for first in range(1, tokens.size(1)):
        changed = model(features, lengths, with_later_tokens_changed(tokens, first)).logits
        assert_same(changed[:, :first], logits[:, :first])
        assert ((changed[:, first] - logits[:, first]).abs().amax(-1) > 1e-3).all()


@pytest.mark.parametrize("decoder", ALL_DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@torch.no_grad()
def test_text_sees_no_later_text(encoder, decoder):
    assert_text_sees_no_later_text(make_model(decoder, encoder), *make_speech(LENGTHS), make_tokens(3, 7))


@pytest.mark.parametrize("decoder", ALL_DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@torch.no_grad()
def test_a_longer_utterance_before_changes_nothing(encoder, decoder):
    model = make_model(decoder, encoder)
    fresh, speech, tokens = copy.deepcopy(model), make_speech(LENGTHS), make_tokens(3, 7)
    model(*make_speech([400, 90]), make_tokens(2, 30))
    model(*make_speech([9]), make_tokens(1, 1100))  # more tokens than the first table of positions holds
    assert_same(model(*speech, tokens).logits, fresh(*speech, tokens).logits)
    assert_text_sees_no_later_text(model, *speech, tokens)


@pytest.mark.parametrize("decoder", ALL_DECODERS)
@torch.no_grad()
def test_text_sees_all_speech_of_its_utterance(decoder):
    model, (features, lengths), tokens = make_model(decoder), make_speech(LENGTHS), make_tokens(3, 4)
    logits = model(features, lengths, tokens).logits
    changed = features.clone()
    changed[0, 56] += 1
    difference = (model(changed, lengths, tokens).logits - logits).abs().amax(-1)
    assert (difference[0] > 1e-4).all()
    assert (difference[1:] == 0).all()


def keys_in_training_and_search(decoder, speech, tokens):
    """Per way and layer the (B, N, ...) keys and values of the speech inside the decoder."""
    seen = []
    hooks = [layer.self_attn.register_forward_hook(lambda module, inputs, output: seen.append(output[1:])) for layer in decoder.layers]
    decoder(tokens, encoder_out=speech)
    for hook in hooks:
        hook.remove()
    num_states = speech.states.size(1)
    seen += [tuple(keys_and_values) for keys_and_values in decoder.start(speech).text]
    return [torch.cat(pair, dim=-1)[:, :, :num_states].transpose(1, 2) for pair in seen]


@pytest.mark.parametrize("decoder", PREFIX_DECODERS)
@torch.no_grad()
def test_speech_sees_later_speech_only_without_the_causal_mask(decoder):
    model, tokens = make_model(decoder, decoder_layers=3), make_tokens(3, 4)
    speech = model.encoder(*make_speech([57, 57, 57]))
    before = keys_in_training_and_search(model.decoder, speech, tokens)
    assert len(before) == 2 * len(model.decoder.layers)
    for first in (1, 7, 14):
        states = speech.states.clone()
        states[:, first:] += torch.randn_like(states[:, first:])
        after = keys_in_training_and_search(model.decoder, speech._replace(states=states), tokens)
        for number, (old, new) in enumerate(zip(before, after)):
            if model.decoder.causal_prefix or number % len(model.decoder.layers) == 0:  # the first layer's know themselves only
                assert_same(new[:, :first], old[:, :first])
            else:
                assert ((new[:, :first] - old[:, :first]).flatten(2).abs().amax(-1) > 1e-4).all()


@pytest.mark.parametrize("decoder", PREFIX_DECODERS)
@torch.no_grad()
def test_speech_does_not_see_the_text(decoder):
    model, tokens = make_model(decoder), make_tokens(3, 4)
    speech = model.encoder(*make_speech(LENGTHS))
    first, second = (keys_in_training_and_search(model.decoder, speech, text) for text in (tokens, with_later_tokens_changed(tokens, 0)))
    for old, new in zip(first, second):
        assert_same(new, old)
