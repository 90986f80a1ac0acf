"""The operations that models/cost.py adds up are those that torch counts while the model runs."""

import itertools

import pytest
import tiny_model
import torch
from tiny_model import (
    DIM,
    FEATURE_DIM,
    FEW_ENCODERS,
    make_model,
    make_speech,
    make_tokens,
    task,
)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from speechllm_plugin.generation.beam_search import BeamSearch
from speechllm_plugin.models.cost import Lengths, decoding, forward, matmul, training_step

NUM_TOKENS, NUM_HYPOTHESES = 6, 3
FRAMES = [101, 38]  # of one utterance each: one alone is what the numbers are for
# The mask costs nothing, and compressions differ in what they leave only: one, over every form of positions, stands for all.
DECODERS = ["xattn", "dfp"]
ENCODERS = [variant for variant in tiny_model.ENCODERS if variant[2] == {"conformer": "weighted"}.get(variant[0], "none")]
CONVOLVED = ["xattn-conformer", "dfp-conformer", "dfp-speech-ffn"]
# Every encoder under one of the decoders, and both decoders over some.
MODELS = list(dict.fromkeys([*zip(ENCODERS, itertools.cycle(DECODERS)), *itertools.product(FEW_ENCODERS, DECODERS + CONVOLVED)]))
TRAINED_ENCODERS = [*FEW_ENCODERS, ("transformer", "legacy", "fixed"), ("conformer", "rope", "none")]


def operations(run):
    """What torch counts, by module; attention as the products that it consists of, since the CPU's fused kernel has no formula there."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}


def lengths_of(model, features, lengths):
    """What compression leaves is asked of the model: it depends on the data."""
    num_compressed = model.encoder(features, lengths).states.size(1)
    return Lengths(features.size(1), model.encoder.subsampling.num_states(features.size(1)), num_compressed, NUM_TOKENS)


@pytest.mark.parametrize(("variant", "decoder"), MODELS)
@torch.no_grad()
def test_forward_costs_what_torch_counts(variant, decoder):
    model = make_model(decoder, variant)
    name = type(model).__name__
    for speech in (make_speech([num_frames]) for num_frames in FRAMES):
        counted = operations(lambda: model(*speech, make_tokens(1, NUM_TOKENS)))
        ctc_head, output = counted.get(f"{name}.encoder.ctc_head", 0), counted[f"{name}.decoder.output_projection"]
        subsampling = counted[f"{name}.encoder.subsampling"]
        cost = forward(model, lengths_of(model, *speech))
        assert cost == {
            "subsampling": subsampling,
            "encoder_layers": counted[f"{name}.encoder"] - subsampling - ctc_head,
            "ctc_head": ctc_head,
            "decoder_layers": counted[f"{name}.decoder"] - output,
            "output_projection": output,
        }
        assert sum(cost.values()) == counted["Global"]


@pytest.mark.parametrize("variant", TRAINED_ENCODERS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_training_step_costs_three_forwards(variant, decoder):
    """Less what torch does not compute: gradients of the filterbanks and of the sinusoids of relative positions.

    torch also counts the gradient of a depthwise convolution's weights as if each channel read all channels, which it does not.
    """
    model = make_model(decoder, variant).train()
    cfg = model.encoder.cfg

    def train(speech):
        output = model(*speech, make_tokens(1, NUM_TOKENS))
        (output.logits.sum() + (output.ctc.logits.sum() if output.ctc else 0)).backward()

    for num_frames in FRAMES:
        speech = make_speech([num_frames])
        lengths = lengths_of(model, *speech)
        of_filterbanks = matmul((num_frames + 1) // 2, 5 * FEATURE_DIM, cfg.conv_channels)
        of_sinusoids = overcounted = 0
        for layer in range(len(model.encoder.layers)):
            num_states = lengths.num_states if layer < cfg.ctc_layer else lengths.num_compressed
            of_sinusoids += matmul({"xl": -(-(2 * num_states - 1) // 8) * 8, "legacy": num_states}.get(variant[1], 0), DIM, DIM)
            overcounted += (DIM - 1) * matmul(num_states, cfg.depthwise_conv_kernel_size, DIM) if variant[0] == "conformer" else 0
        cost = sum(training_step(model, lengths).values())
        assert operations(lambda: train(speech))["Global"] == cost - of_filterbanks - of_sinusoids + overcounted


@pytest.mark.parametrize("variant", FEW_ENCODERS)
@pytest.mark.parametrize("decoder", DECODERS + CONVOLVED)
@torch.no_grad()
def test_decoding_costs_what_torch_counts(variant, decoder):
    model = make_model(decoder, variant)

    def step_through(state):
        for position in range(NUM_TOKENS):
            state.reserve(position + 1)
            model.decoder.step(make_tokens(1, NUM_HYPOTHESES), state)

    for speech in (make_speech([num_frames]) for num_frames in FRAMES):
        encoded = model.encoder(*speech)
        state = model.decoder.start(encoded, NUM_HYPOTHESES)
        assert decoding(model, lengths_of(model, *speech), NUM_HYPOTHESES) == {
            "encoder": operations(lambda: model.encoder(*speech, with_ctc=False))["Global"],
            "prefill": operations(lambda: model.decoder.start(encoded))["Global"],
            "steps": operations(lambda: step_through(state))["Global"],
        }


@pytest.mark.parametrize("variant", FEW_ENCODERS)
@pytest.mark.parametrize("decoder", DECODERS)
@torch.no_grad()
def test_the_search_computes_nothing_else(variant, decoder):
    model, (features, num_frames) = make_model(decoder, variant), make_speech([101])
    dictionary = task().target_dictionary
    symbols = (dictionary.pad(), dictionary.eos(), dictionary.unk(), len(dictionary))
    search = BeamSearch([model], *symbols, NUM_HYPOTHESES, max_len_b=NUM_TOKENS - 1, min_len=NUM_TOKENS - 1)  # ends at its last step only
    sample = {"net_input": {"src_tokens": features, "src_lengths": num_frames}}
    counted = operations(lambda: search.generate([model], sample))["Global"]
    assert counted == sum(decoding(model, lengths_of(model, features, num_frames), NUM_HYPOTHESES).values())


@pytest.mark.parametrize("kernels", ["5,5", "3", "7,5,3"])
def test_states_after_subsampling_are_the_models(kernels):
    model = make_model("dfp", conv_kernel_sizes=kernels)
    for num_frames in (1, 2, 22, 37):
        states, _ = model.encoder.subsampling(*make_speech([num_frames]))
        assert states.size(1) == model.encoder.subsampling.num_states(num_frames)


def test_every_flag_of_a_size_counts():
    """All sizes differ here, also those that are equal in the other tests."""
    sizes = {"encoder_ffn_embed_dim": 20, "decoder_ffn_embed_dim": 28, "conv_channels": 10, "depthwise_conv_kernel_size": 7}
    for decoder in DECODERS:
        model = make_model(decoder, ("conformer", "xl", "fixed"), decoder_layers=3, encoder_layers=5, conv_kernel_sizes="7,3,5", **sizes)
        for speech in (make_speech([num_frames]) for num_frames in FRAMES):
            with torch.no_grad():
                counted = operations(lambda: model(*speech, make_tokens(1, NUM_TOKENS)))["Global"]
            assert counted == sum(forward(model, lengths_of(model, *speech)).values())


@pytest.mark.parametrize("variant", [("transformer", "none", "weighted"), ("conformer", "xl", "weighted"), ("transformer", "legacy", "fixed")])
def test_compression_shortens_here(variant):
    """Else it would not matter which layers lie above it."""
    model = make_model("dfp", variant)
    for num_frames in FRAMES:
        lengths = lengths_of(model, *make_speech([num_frames]))
        assert lengths.num_compressed < lengths.num_states
