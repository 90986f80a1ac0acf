"""What stands at padding, and how much of it there is, changes nothing: outputs, statistics, losses, gradients."""

import pytest
import torch
from tiny_model import (
    DECODERS,
    DIM,
    ENCODERS,
    batch_of,
    make_data,
    make_model,
    make_speech,
    make_tokens,
    task,
    widened,
)

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropy
from speechllm_plugin.models.conformer import MaskedBatchNorm

LENGTHS = [57, 40, 1]


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", ENCODERS, ids="-".join)
@torch.no_grad()
def test_outputs_depend_neither_on_batch_neighbours_nor_on_padding(encoder, decoder):
    model = make_model(decoder, encoder)
    (features, lengths), tokens = make_speech(LENGTHS), make_tokens(3, 6)
    batches = []
    for speech_features in (features, widened(features, lengths)):
        speech = model.encoder(speech_features, lengths)
        batches.append((speech, model.decoder(tokens, encoder_out=speech)[0]))
    for row, length in enumerate(LENGTHS):
        one = slice(row, row + 1)
        alone = model.encoder(features[one, :length], lengths[one])
        assert not alone.padding.any()
        logits = model.decoder(tokens[one], encoder_out=alone)[0]
        for speech, batch_logits in batches:
            assert_same(speech.states[row][~speech.padding[row]], alone.states[0])
            assert_same(batch_logits[row], logits[0])
            if alone.ctc is not None:
                num_states = alone.ctc.logits.size(1)
                assert speech.ctc.lengths[row] == alone.ctc.lengths[0] == num_states
                assert_same(speech.ctc.logits[row, :num_states], alone.ctc.logits[0])


@pytest.mark.parametrize("encoder", [encoder for encoder in ENCODERS if encoder[2] != "none"], ids="-".join)
@torch.no_grad()
def test_compression_merges_states_in_these_tests(encoder):
    speech = make_model("dfp", encoder).encoder(*make_speech(LENGTHS))
    num_states = (~speech.padding).sum(1)
    assert (num_states <= speech.ctc.lengths).all()
    assert 1 < num_states[0] < speech.ctc.lengths[0]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("encoder", ENCODERS, ids="-".join)
def test_training_depends_neither_on_padding_nor_on_its_content(encoder, decoder):
    model, batch = make_model(decoder, encoder).train(), batch_of(make_data(LENGTHS))
    criterion = CTCCrossEntropy(task(), label_smoothing=0.1, ctc_weight=0.5, sentence_avg=False)
    features, lengths = batch["net_input"]["src_tokens"], batch["net_input"]["src_lengths"]
    start, results = {name: tensor.clone() for name, tensor in model.state_dict().items()}, []
    for speech_features in (features, widened(features, lengths)):
        model.load_state_dict(start)
        model.zero_grad()
        batch["net_input"]["src_tokens"] = speech_features.clone().requires_grad_()
        loss, _, _ = criterion(model, batch)
        loss.backward()
        gradient = batch["net_input"]["src_tokens"].grad
        for row, length in enumerate(lengths.tolist()):
            assert (gradient[row, :length] != 0).any()
            assert (gradient[row, length:] == 0).all()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers() if "position" not in name}
        results.append((loss.detach(), gradients, buffers))
    torch.testing.assert_close(results[1], results[0], atol=1e-3, rtol=1e-3)
    assert_same(results[1][0], results[0][0])


def batch_norms():
    """Ours and torch's with the same weights."""
    ours, torchs = MaskedBatchNorm(DIM), torch.nn.BatchNorm1d(DIM)
    with torch.no_grad():
        ours.weight.normal_()
        ours.bias.normal_()
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


@pytest.mark.parametrize("num_padded", [0, 7, 60])
def test_batch_norm_equals_torchs_on_the_states_without_padding(num_padded):
    ours, torchs = batch_norms()
    for _ in range(3):
        lengths = torch.tensor([9, 4, 1])
        states = torch.randn(3, 9 + num_padded, DIM) * 3 + 50
        padding = torch.arange(states.size(1)) >= lengths[:, None]
        ours_in, torchs_in = states.clone().requires_grad_(), states[~padding].requires_grad_()
        actual, expected = ours(ours_in, padding)[~padding], torchs(torchs_in)
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
        weights = torch.randn_like(expected)
        (actual * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(ours_in.grad[~padding], torchs_in.grad, atol=1e-4, rtol=1e-4)
        assert (ours_in.grad[padding] == 0).all()
    torch.testing.assert_close(dict(ours.named_buffers()), dict(torchs.named_buffers()))
    torch.testing.assert_close(ours.weight.grad, torchs.weight.grad, atol=1e-4, rtol=1e-4)
    ours.eval()
    torchs.eval()
    torch.testing.assert_close(ours(states, padding)[~padding], torchs(states[~padding]), atol=1e-4, rtol=1e-4)


def test_batch_norm_takes_a_batch_of_one_state():
    norm, _ = batch_norms()
    x = torch.randn(1, 4, DIM)
    out = norm(x, torch.tensor([[False, True, True, True]]))
    torch.testing.assert_close(out[0, 0], norm.bias, atol=1e-4, rtol=0)
    assert all(buffer.isfinite().all() for buffer in norm.buffers())
