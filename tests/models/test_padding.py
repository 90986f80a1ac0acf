"""What stands at padding, and how much of it there is, changes nothing: outputs, statistics, losses, gradients."""

import pytest
import torch
from tiny_model import (
    COMPRESSIONS,
    ENCODERS,
    ENCODERS_AND_DECODERS,
    batch_of,
    make_data,
    make_model,
    make_speech,
    make_tokens,
    task,
    widened,
)

from speechllm_plugin.criterions.ctc_cross_entropy import CTCCrossEntropy

LENGTHS = [57, 40, 1]


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("encoder", "decoder"), ENCODERS_AND_DECODERS, ids=str)
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
            assert (speech.states[row][speech.padding[row]] == 0).all()
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
    limit = COMPRESSIONS[encoder[2]].get("ctc_compression_max_length")
    assert limit is None or num_states[0] == limit


@pytest.mark.parametrize(("encoder", "decoder"), ENCODERS_AND_DECODERS, ids=str)
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
