"""A training step on a GPU, whose kernels are those of models/kernels, gives what the plain operations give, for every encoder and decoder."""

import itertools

import pytest
import torch
from gpu import NEEDS_GPU
from tiny_model import ALL_DECODERS, DECODERS, ENCODERS, FEATURE_DIM, FEW_ENCODERS, make_model

from speechllm_plugin.models import kernels

pytestmark = NEEDS_GPU
LENGTHS = [61, 33, 5, 1]
WIDE = {
    "encoder_embed_dim": 64,
    "decoder_embed_dim": 64,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}  # 32 channels a head, as kernels want


def batch(garbage=0.0, extra=0, second_text=False):
    """Features with `garbage` and more or less of it at padding, lengths, texts."""
    generator = torch.Generator().manual_seed(1)
    features = torch.full((len(LENGTHS), max(LENGTHS) + extra, FEATURE_DIM), garbage)
    for row, length in enumerate(LENGTHS):
        features[row, :length] = torch.randn(length, FEATURE_DIM, generator=generator)
    texts = torch.randint(4, 30, (2, len(LENGTHS), 6), generator=generator)
    lengths = torch.tensor(LENGTHS)
    inputs = {"src_tokens": features, "src_lengths": lengths, "prev_output_tokens": texts[0]}
    return {name: tensor.cuda() for name, tensor in (inputs | ({"kd_prev_output_tokens": texts[1]} if second_text else {})).items()}


def step(model, inputs):
    """Outputs and the gradients of all weights."""
    model.zero_grad()
    output = model(**inputs)
    tensors = [tensor for tensor in (output.logits, output.kd_logits) if tensor is not None]
    factors = [torch.randn(tensor.shape, generator=torch.Generator().manual_seed(2)).to(tensor) for tensor in tensors]
    sum((tensor * factor).sum() for tensor, factor in zip(tensors, factors)).backward()
    return [tensor.detach() for tensor in tensors], {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def assert_near(results, expected, tolerance, of_outputs=None):
    for one, other in zip(results[0], expected[0]):
        assert (one - other).norm() <= (of_outputs or tolerance) * other.norm()
    assert results[1].keys() == expected[1].keys()
    scale = max(gradient.norm() for gradient in expected[1].values())
    for name, gradient in expected[1].items():
        assert (results[1][name] - gradient).norm() <= tolerance * (gradient.norm() + 1e-2 * scale), name


@pytest.fixture(autouse=True)
def no_tf32():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


MODELS = list(dict.fromkeys([*itertools.product(DECODERS, ENCODERS), *itertools.product(ALL_DECODERS, FEW_ENCODERS)]))


@pytest.mark.parametrize("second_text", [False, True])
@pytest.mark.parametrize(("decoder", "encoder"), MODELS, ids=str)
def test_kernels_give_what_plain_operations_give(decoder, encoder, second_text, monkeypatch):
    model = make_model(decoder, encoder, **WIDE).cuda().train()
    inputs = batch(second_text=second_text)
    with_kernels = step(model, inputs)
    padded = step(model, batch(garbage=3.0, extra=9, second_text=second_text))
    monkeypatch.setattr(kernels, "HAS_TRITON", False)
    assert_near(with_kernels, step(model, inputs), 1e-4)
    assert_near(padded, with_kernels, 1e-4, of_outputs=1e-5)


@pytest.mark.parametrize("encoder", [("conformer", "xl", "avg"), ("transformer", "none", "none"), ("none", "none", "none")], ids="-".join)
@pytest.mark.parametrize("decoder", ALL_DECODERS)
def test_16_bits_are_near_32(decoder, encoder):
    model = make_model(decoder, encoder, **WIDE).cuda().train()
    whole = step(model, batch())
    half = step(model.bfloat16(), batch())
    assert (half[0][0].float() - whole[0][0]).norm() < 0.05 * whole[0][0].norm()
