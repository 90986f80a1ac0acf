"""Token by token, with what was computed before kept: the same logits as from the whole text at once."""

import pytest
import torch
from tiny_model import (
    ALL_DECODERS,
    ENCODERS_AND_DECODERS,
    FEW_ENCODERS,
    make_model,
    make_speech,
    make_tokens,
    repeated,
)

LENGTHS = [57, 40, 1]


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def encoded(decoder, encoder, **flags):
    model = make_model(decoder, encoder, **flags)
    return model.decoder, model.encoder(*make_speech(LENGTHS))


@pytest.mark.parametrize(("encoder", "decoder"), ENCODERS_AND_DECODERS, ids=str)
@torch.no_grad()
def test_steps_equal_the_whole_text(encoder, decoder):
    compare_steps(*encoded(decoder, encoder))


@pytest.mark.parametrize("decoder", ["xattn-conformer", "dfp-conformer"])
@torch.no_grad()
def test_a_convolution_of_one_place_remembers_nothing(decoder):
    decoder, speech = encoded(decoder, ("none", "none", "none"), decoder_conv_kernel_size=1)
    compare_steps(decoder, speech)
    assert all(weight.numel() for weight in decoder.parameters())


def compare_steps(decoder, speech):
    tokens = make_tokens(3, 6)
    state, steps = decoder.start(speech), []
    for position in range(tokens.size(1)):
        state.reserve(position + 1)
        steps.append(decoder.step(tokens[:, position, None], state))
    steps = torch.cat(steps, dim=1)
    assert_same(steps, decoder(tokens, encoder_out=speech)[0])


# What a step reads: exactly the text so far, more than that, or memory that grows on the way.
ROOMS = {"tight": lambda step: step + 1, "ahead": lambda step: 7, "growing": lambda step: 32 + step}


@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS)
@pytest.mark.parametrize("decoder", ALL_DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@torch.no_grad()
def test_moved_hypotheses_and_chosen_sentences_equal_their_recomputation(encoder, decoder, room):
    (decoder, speech), num_hypotheses = encoded(decoder, encoder), 4
    state, kept = decoder.start(speech, num_hypotheses), torch.arange(3)
    state.reorder(torch.zeros(3, num_hypotheses, dtype=torch.long))  # before the first token there is nothing to move
    tokens = make_tokens(3, num_hypotheses, 1)
    for step in range(7):
        state.reserve(room(step))
        logits = decoder.step(tokens[:, :, -1], state)
        rows = repeated(type(speech)(speech.states[kept], speech.padding[kept]), num_hypotheses)
        whole = decoder(tokens.flatten(0, 1), encoder_out=rows)[0][:, -1]
        assert_same(logits, whole.view_as(logits))
        if step in (2, 4):  # another order once, then one sentence fewer
            chosen = torch.tensor([2, 0, 1]) if step == 2 else torch.tensor([0, 2])
            state.select(chosen)
            kept, tokens = kept[chosen], tokens[chosen]
        source_beam = torch.randint(num_hypotheses, tokens.shape[:2])
        state.reorder(source_beam)
        tokens = tokens.gather(1, source_beam[..., None].expand_as(tokens))
        tokens = torch.cat([tokens, make_tokens(*tokens.shape[:2], 1)], dim=2)


@pytest.mark.parametrize("first_call", [1, 3])
@pytest.mark.parametrize("decoder", ALL_DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@torch.no_grad()
def test_fairseqs_incremental_state_equals_the_whole_text(encoder, decoder, first_call):
    (decoder, speech), num_hypotheses, incremental_state = encoded(decoder, encoder), 2, {}
    speech, tokens = repeated(speech, num_hypotheses), make_tokens(3 * num_hypotheses, first_call)
    for step in range(6):
        logits, extra = decoder(tokens, encoder_out=speech, incremental_state=incremental_state)
        assert logits.shape == (len(tokens), 1, logits.size(2)) and extra == {"attn": [None]}
        assert_same(logits, decoder(tokens, encoder_out=speech)[0][:, -1:])
        sentence = torch.tensor([0, 2] if step == 3 else range(len(tokens) // num_hypotheses))  # one has finished
        order = (sentence[:, None] * num_hypotheses + torch.randint(num_hypotheses, (len(sentence), num_hypotheses))).flatten()
        decoder.reorder_incremental_state_scripting(incremental_state, order)
        tokens = torch.cat([tokens[order], make_tokens(len(order), 1)], dim=1)
        speech = type(speech)(speech.states[order], speech.padding[order])


@pytest.mark.parametrize("decoder", ALL_DECODERS)
@torch.no_grad()
def test_several_tokens_since_the_last_call_are_caught_up_on(decoder):
    (decoder, speech), tokens, incremental_state = encoded(decoder, ("transformer", "none", "none")), make_tokens(3, 8), {}
    decoder.reorder_incremental_state_scripting(incremental_state, torch.arange(3))  # fairseq may, before the first call
    whole = decoder(tokens, encoder_out=speech)[0]
    for length in (2, 3, 6, 8):
        logits, _ = decoder(tokens[:, :length], encoder_out=speech, incremental_state=incremental_state)
        assert_same(logits[:, 0], whole[:, length - 1])


@torch.no_grad()
def test_speech_reordered_for_fairseq_is_that_of_the_sentences():
    model = make_model("dfp", ("conformer", "xl", "avg"))
    speech, order = model.encoder(*make_speech(LENGTHS), with_ctc=False), torch.tensor([2, 2, 0])
    assert speech.ctc is None
    assert_same(model.encoder.reorder_encoder_out(speech, order).states, speech.states[order])
    assert model.encoder.reorder_encoder_out(speech, order).padding.equal(speech.padding[order])
