"""--print-alignment: the attention of the decoder to the speech, in frames, is that of its own forward pass, for both decoders."""

import re

import pytest
import torch
from commands import MODELS, generate, hypotheses, last_line, succeeded, train
from searched_models import LENGTHS, make_sample, make_searched_model
from searches import beam_search
from tiny_model import ALL_DECODERS, COMPRESSIONS, FEW_ENCODERS, make_model, make_speech, make_tokens, task

from speechllm_plugin.generation.speech_alignment import Alignment, over_frames, over_states
from speechllm_plugin.models import attention
from speechllm_plugin.tasks.printed_alignment import alignment

ENCODERS = [("none", "none", "none"), ("transformer", "none", "none"), *(("conformer", "xl", name) for name in COMPRESSIONS if name != "none")]


def attention_of_forward(model, speech, tokens, monkeypatch):
    """Per layer the (B, H, U, N) weights over the speech of the forward pass, seen where torch is given queries, keys and mask."""
    calls = []

    def recorded(query, key, value, attn_mask, **settings):
        calls.append(((query @ key.transpose(-1, -2)) / query.size(-1) ** 0.5).masked_fill(~attn_mask, -torch.inf).softmax(-1))
        return calls[-1] @ value

    monkeypatch.setattr(attention, "scaled_dot_product_attention", recorded)
    model.decoder(tokens, encoder_out=speech)
    monkeypatch.undo()
    num_states, num_tokens = speech.states.size(1), tokens.size(1)
    if model.decoder.cross_attention:
        return calls[1::2]
    return [weights[:, :, -num_tokens:, :num_states] for weights in calls]


@pytest.mark.parametrize("decoder", ALL_DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@torch.no_grad()
def test_the_attention_is_that_of_the_forward_pass(encoder, decoder, monkeypatch):
    model, (features, lengths), tokens = make_model(decoder, encoder, decoder_layers=3), make_speech([57, 40, 1]), make_tokens(3, 6)
    speech = model.encoder(features, lengths)
    for layer, expected in enumerate(attention_of_forward(model, speech, tokens, monkeypatch)):
        both = model.decoder.attention_to_speech(tokens, speech, layer)
        second = model.decoder.attention_to_speech(tokens, speech, layer, [1])
        for actual, weights in ((both, expected.mean(1)), (second, expected[:, 1])):
            torch.testing.assert_close(actual, weights / weights.sum(-1, keepdim=True))
        assert not both.masked_select(speech.padding[:, None].expand_as(both)).any()


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
@pytest.mark.parametrize("encoder", ENCODERS, ids="-".join)
@torch.no_grad()
def test_frames_get_what_their_state_gets(encoder, decoder):
    """Against loops over sentences, states and frames, for utterances whose last state has fewer frames."""
    model, lengths, tokens = make_model(decoder, encoder), [57, 38, 1], make_tokens(3, 5)
    speech = model.encoder(*make_speech(lengths))
    read = model.decoder.attention_to_speech(tokens, speech, 1)
    frames = over_frames(over_states(read, speech.segments), torch.tensor(lengths), 4)
    for row, length in enumerate(lengths):
        expected = torch.zeros(5, length)
        for state in range(-(-length // 4)):
            own = list(range(4 * state, min(4 * state + 4, length)))
            merged, share = state, 1.0
            if speech.segments is not None:
                merged, share = int(speech.segments.number[row, state]), float(speech.segments.share[row, state])
            expected[:, own] = read[row, :, merged, None] * share / len(own)
        torch.testing.assert_close(frames[row, :, :length], expected)
        torch.testing.assert_close(expected.sum(1), torch.ones(5))


def search(model, sample, kind="soft", **options):
    options = {"beam_size": 4, "max_len_b": 9, "alignment": kind and Alignment(kind, 1), **options}
    return beam_search([model], task().target_dictionary, **options).generate(None, sample)


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
@torch.no_grad()
def test_every_hypothesis_is_aligned_as_it_is_alone(encoder, decoder):
    model, sample = make_searched_model(decoder, encoder), make_sample()
    features, lengths = sample["net_input"].values()
    found, plain, hard = search(model, sample), search(model, sample, kind=None), search(model, sample, kind="hard")
    for row, (length, n_best) in enumerate(zip(LENGTHS, found)):
        speech = model.encoder(features[row : row + 1, :length], lengths[row : row + 1])
        for hypothesis, without, pairs in zip(n_best, plain[row], hard[row]):
            tokens = hypothesis["tokens"]
            assert tokens.tolist() == without["tokens"].tolist() and hypothesis["score"] == without["score"]
            read = model.decoder.attention_to_speech(torch.cat([tokens[-1:], tokens[:-1]])[None], speech, 1)
            expected = over_frames(over_states(read, speech.segments), torch.tensor([length]), 4)[0, :, :length]
            torch.testing.assert_close(hypothesis["attention"], expected.t(), atol=1e-5, rtol=0)
            printed = torch.tensor([[float(weight) for weight in of_token] for of_token in hypothesis["alignment"]])
            torch.testing.assert_close(printed, expected, atol=2e-5, rtol=0)
            frames = [frame for frame, _ in pairs["alignment"]]
            assert [token for _, token in pairs["alignment"]] == list(range(len(tokens)))
            torch.testing.assert_close(expected.max(1).values, expected[range(len(tokens)), frames], atol=1e-5, rtol=0)


def test_what_cannot_be_aligned_is_said():
    model = make_model("dfp")
    assert alignment(None, 0, None, [model], ["sampling"]) is None
    assert alignment("hard", 0, None, [model], []) == Alignment("hard", 1)
    assert alignment("soft", 1, "2,1", [model], []) == Alignment("soft", 0, [1, 0])
    for arguments, message in [
        ((None, 2, None, [model], []), "--alignment-layer 2 has an effect only with --print-alignment"),
        ((None, 0, "1", [model], []), "--alignment-heads 1 has an effect only with --print-alignment"),
        (("hard", 3, None, [model], []), "--alignment-layer must be from 1 to 2, or 0 for the last, but is 3"),
        (("hard", 0, "3", [model], []), "--alignment-heads must be numbers from 1 to 2, separated by commas, but is '3'"),
        (("hard", 0, "1;2", [model], []), "separated by commas, but is '1;2'"),
        (("hard", 0, None, [model, model], []), "--print-alignment needs one model, but --path names 2"),
        (("hard", 0, None, [model], ["sampling"]), "--print-alignment is not served together with sampling"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            alignment(*arguments)


@pytest.mark.end_to_end
def test_the_command_prints_an_alignment_per_hypothesis(trained, data):
    hard = succeeded(generate(data, trained.checkpoint, "tst-COMMON", "--print-alignment", "--alignment-layer", 1, "--alignment-heads", 1)).stdout
    soft = succeeded(generate(data, trained.checkpoint, "tst-COMMON", "--print-alignment", "soft")).stdout
    assert hypotheses(hard) == hypotheses(soft)
    positions = dict(re.findall(r"^P-(\d+)\t(.*)$", hard, re.M))
    pairs, weights = (dict(re.findall(r"^A-(\d+)\t(.*)$", output, re.M)) for output in (hard, soft))
    assert pairs.keys() == weights.keys() == positions.keys()
    for row, scores in positions.items():
        assert [pair.split("-")[1] for pair in pairs[row].split()] == [str(token) for token in range(len(scores.split()))]
        for of_token in weights[row].split():
            assert sum(map(float, of_token.split(","))) == pytest.approx(1, abs=0.01)
    refused = generate(data, trained.checkpoint, "tst-COMMON", "--alignment-layer", 1)
    assert refused.returncode == 1 and "has an effect only with --print-alignment" in last_line(refused)
    refused = train(data, None, "--alignment-layer", 1, model=MODELS["dfp_conformer_compressed"], updates=1)
    assert refused.returncode == 1 and "--alignment-layer 1 is for decoding, not for training" in last_line(refused)
