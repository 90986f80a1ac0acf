"""Conformer layers and feed-forward networks by modality in the decoders: speech and texts are convolved apart, and each network gets its own."""

import copy

import pytest
import torch
from tiny_model import ALL_DECODERS, DIM, FEW_ENCODERS, make_config, make_model, make_speech, make_tokens

from speechllm_plugin.models.attention import SelfAttention
from speechllm_plugin.models.decoder_layers import DECODER_LAYERS
from speechllm_plugin.models.decoder_layers.conformer_decoder_layer import DecoderConvolution
from speechllm_plugin.models.decoder_layers.decoder_layer import TextContext

KERNEL = 5
PADDING = torch.tensor([[False] * 7, [False] * 3 + [True] * 4])  # of speech
TEXTS = [6, 4]


def slow_transform(convolution, normed, sees_future):
    """Position by position, of one utterance's speech or text alone."""
    gated = torch.nn.functional.glu(convolution.pointwise_in(normed), dim=-1)
    taps = convolution.past[:, 0] if not sees_future else torch.cat([convolution.past[:, 0], convolution.future[:, 0]], dim=1)
    rows = []
    for place in range(len(normed)):
        sources = [place + tap - KERNEL // 2 for tap in range(taps.size(1))]
        rows.append(sum((gated[source] * taps[:, tap] for tap, source in enumerate(sources) if 0 <= source < len(gated)), torch.zeros(DIM)))
    return convolution.finished(torch.stack(rows))


@pytest.mark.parametrize("sees_future", [False, True])
@torch.no_grad()
def test_convolution_equals_loops_over_speech_and_each_text(sees_future):
    convolution, normed = DecoderConvolution(DIM, KERNEL, sees_future), torch.randn(2, 7 + sum(TEXTS), DIM)
    normed[:, :7][PADDING] = torch.nan
    together = convolution.transform(normed, PADDING, TEXTS)
    for row in range(2):
        num_states = int((~PADDING[row]).sum())
        parts = [(slice(0, num_states), sees_future), (slice(7, 13), False), (slice(13, 17), False)]
        for part, future in parts:
            torch.testing.assert_close(together[row, part], slow_transform(convolution, normed[row, part], future), atol=1e-6, rtol=1e-5)
    alone = convolution.transform(normed[:, 7:], None, TEXTS)
    torch.testing.assert_close(alone, together[:, 7:])


@pytest.mark.parametrize("skip", [0, 7])
@pytest.mark.parametrize("kind", DECODER_LAYERS)
@torch.no_grad()
def test_speech_and_text_have_feed_forward_networks_of_their_own(kind, skip):
    """A layer with two networks gives the text what one with the text's gives, and the speech what one with the speech's gives."""
    flags = {"decoder_layer": kind, "encoder_attention_heads": 2}
    both = DECODER_LAYERS[kind](make_config("dfp", speech_ffn=True, **flags), SelfAttention, False, is_last=False)
    own = [name for name, module in both.named_children() if name.endswith("_of_speech") or name == "speech_feed_forward"]
    assert len(own) == {"transformer": 1, "conformer": 2}[kind]
    only_text = copy.deepcopy(both)
    for name in own:
        setattr(only_text, name, None)
    only_speech = copy.deepcopy(only_text)
    for name in own:
        of_text = {"speech_feed_forward": "feed_forward"}.get(name, name.replace("_of_speech", "_feed_forward"))
        setattr(only_speech, of_text, getattr(both, name))
    mask = torch.eye(17, dtype=torch.bool)[None, None, skip:]  # each position sees itself alone: modalities do not mix
    x, context = torch.randn(2, 17, DIM), TextContext(mask, padding=torch.zeros(2, 7, dtype=torch.bool), lengths=TEXTS)
    result, text, speech = (layer(x, context, skip) for layer in (both, only_text, only_speech))
    torch.testing.assert_close(result[:, 7 - skip :], text[:, 7 - skip :])
    torch.testing.assert_close(result[:, : 7 - skip], speech[:, : 7 - skip])
    assert (text - speech).abs().amax(-1).min() > 1e-3


@pytest.mark.parametrize("decoder", ALL_DECODERS)
@pytest.mark.parametrize("encoder", FEW_ENCODERS, ids="-".join)
def test_every_weight_gets_a_gradient(encoder, decoder):
    """Training in several processes waits for weights that get none."""
    model = make_model(decoder, encoder).train()
    output = model(*make_speech([57, 40, 1]), make_tokens(3, 6))
    (output.logits.square().sum() + (output.ctc.logits.square().sum() if output.ctc else 0)).backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_networks_for_speech_are_counted():
    counts = {}
    for decoder in ("dfp", "dfp-speech-ffn", "dfp-conformer"):
        model = make_model(decoder, decoder_layers=3)
        counts[decoder] = sum(weight.numel() for weight in model.decoder.layers.parameters())
    one = 2 * DIM + DIM * 24 + 24 + 24 * DIM + DIM
    assert counts["dfp-speech-ffn"] == counts["dfp"] + 2 * one  # none in the last layer, whose speech nobody reads
    attention = 4 * DIM * DIM + 4 * DIM
    convolution = 3 * DIM * DIM + 3 * DIM + 2 * 2 * DIM
    taps = 2 * KERNEL * DIM + 3 * DIM  # text of the last layer has no later half
    assert counts["dfp-conformer"] == 3 * (attention + 2 * one + convolution + 2 * 2 * DIM) + taps + 5 * one
