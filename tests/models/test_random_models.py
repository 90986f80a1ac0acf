"""Models of random flags and sizes, odd ones among them, have the properties that other tests show for a few. RANDOM_MODELS=400 tries 400."""

import copy
import os
import random

import pytest
import torch
from tiny_model import make_model, make_speech, make_tokens, repeated, widened
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from speechllm_plugin.models import cost
from speechllm_plugin.models.compressions import COMPRESSIONS
from speechllm_plugin.models.decoder_layers import DECODER_LAYERS
from speechllm_plugin.models.decoder_positions import DECODER_POSITIONS, PREFIX_POSITIONS
from speechllm_plugin.models.relative_positions import SELF_ATTENTIONS

NUM_MODELS = int(os.environ.get("RANDOM_MODELS", 5))


def drawn_model(draw):
    num_layers, encoder = draw.randint(1, 3), draw.choice(["none", "transformer", "conformer"])
    flags = {
        "encoder": encoder,
        "encoder_layers": num_layers,
        "decoder_layers": draw.randint(1, 3),
        "encoder_attention_heads": draw.choice([1, 2, 4]),
        "decoder_attention_heads": draw.choice([1, 2, 4]),
        "conv_kernel_sizes": draw.choice(["5,5", "3", "1", "7,5,3"]),
        "depthwise_conv_kernel_size": draw.choice([1, 3, 15]),
        "decoder_layer": draw.choice([*DECODER_LAYERS]),
        "decoder_conv_kernel_size": draw.choice([1, 3, 31]),
        "decoder_positions": draw.choice([*DECODER_POSITIONS]),
        "ctc_compression_stride": draw.choice([1, 3, 50]),
        "ctc_compression_min_share": draw.choice([0.001, 0.3, 1.0]),
        "ctc_layer": 0 if encoder == "none" else draw.randint(0, num_layers),
    }
    if encoder != "none":
        flags["relative_positions"] = draw.choice(["auto", *SELF_ATTENTIONS])
    if flags["ctc_layer"] and draw.random() < 0.8:
        flags |= {"ctc_compression": draw.choice([*COMPRESSIONS]), "ctc_compression_max_length": draw.choice([0, 0, 1, 3])}
    decoder = draw.choice(["xattn", "dfp", "dfp"])
    if decoder == "dfp":
        flags |= {name: draw.random() < 0.5 for name in ("causal_prefix", "speech_ffn")} | {"prefix_positions": draw.choice([*PREFIX_POSITIONS])}
    return make_model(decoder, **flags)


def assert_same(one, other):
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", range(NUM_MODELS))
@torch.no_grad()
def test_properties_hold_for_all_that_goes_together(seed):
    draw = random.Random(seed)
    model, lengths, num_tokens = drawn_model(draw), [draw.choice([57, 40, 22]), draw.choice([1, 2, 9]), draw.randint(1, 60)], draw.choice([1, 2, 6])
    (features, num_frames), tokens, second = make_speech(lengths), make_tokens(3, num_tokens), make_tokens(3, draw.choice([1, 4]))
    speech = model.encoder(features, num_frames)
    logits, others = model.decoder(tokens, encoder_out=speech, kd_prev_output_tokens=second)
    assert_same(others["kd_logits"], model.decoder(second, encoder_out=speech)[0])
    assert_same(model(widened(features, num_frames), num_frames, tokens).logits, logits)
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        assert_same(model(features[one, :length], num_frames[one], tokens[one]).logits, logits[one])
    for first in range(1, num_tokens):
        changed = torch.cat([tokens[:, :first], make_tokens(3, num_tokens - first)], dim=1)
        assert_same(model.decoder(changed, encoder_out=speech)[0][:, :first], logits[:, :first])
    assert_steps_equal_the_whole_text(model.decoder, speech, draw.choice([1, 2, 4]))
    assert_costs_are_torchs(model, features[:1, : lengths[0]], num_frames[:1], tokens[:1])
    assert_training_knows_no_padding(model, features, num_frames, tokens)


def assert_steps_equal_the_whole_text(decoder, speech, num_hypotheses):
    state, tokens, kept = decoder.start(speech, num_hypotheses), make_tokens(3, num_hypotheses, 1), torch.arange(3)
    for step in range(4):
        state.reserve(step + 1)
        logits = decoder.step(tokens[:, :, -1], state)
        rows = repeated(type(speech)(speech.states[kept], speech.padding[kept]), num_hypotheses)
        assert_same(logits, decoder(tokens.flatten(0, 1), encoder_out=rows)[0][:, -1].view_as(logits))
        if step == 1:
            state.select(torch.tensor([2, 0]))
            kept, tokens = kept[[2, 0]], tokens[[2, 0]]
        source_beam = torch.randint(num_hypotheses, tokens.shape[:2])
        state.reorder(source_beam)
        tokens = torch.cat([tokens.gather(1, source_beam[..., None].expand_as(tokens)), make_tokens(*tokens.shape[:2], 1)], dim=2)


def assert_costs_are_torchs(model, features, num_frames, tokens):
    encoded = model.encoder(features, num_frames)
    num_states = model.encoder.subsampling.num_states(features.size(1))
    lengths = cost.Lengths(features.size(1), num_states, encoded.states.size(1), tokens.size(1))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as forward:
        model(features, num_frames, tokens)
    with FlopCounterMode(display=False) as prefill, sdpa_kernel(SDPBackend.MATH):
        model.decoder.start(encoded)
    assert sum(cost.forward(model, lengths).values()) == forward.get_total_flops()
    assert cost.decoding(model, lengths, 1)["prefill"] == prefill.get_total_flops()


@torch.enable_grad()
def assert_training_knows_no_padding(model, features, num_frames, tokens):
    results = []
    for given in (features, widened(features, num_frames)):
        own = copy.deepcopy(model).train()
        output = own(given, num_frames, tokens)
        of_ctc = 0 if output.ctc is None else sum(row[:length].square().mean() for row, length in zip(output.ctc.logits, output.ctc.lengths))
        (output.logits.square().mean() + of_ctc).backward()
        results.append((output.logits.detach(), [weight.grad for weight in own.parameters()]))
    assert_same(results[1][0], results[0][0])
    largest = max(gradient.abs().max() for gradient in results[0][1])
    for one, other in zip(results[1][1], results[0][1], strict=True):
        torch.testing.assert_close(one, other, atol=1e-4 * float(largest), rtol=1e-3)
