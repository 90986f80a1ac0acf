"""The subsampling in rows of a training with kernels, against the plain one in float64; without a GPU by Triton's interpreter."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from kernel_device import DEVICE

from speechllm_plugin.models import kernels
from speechllm_plugin.models.subsampling import ConvolutionalSubsampling

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:Conversion of an array")]  # inside the interpreter


@pytest.fixture
def subsampling():
    return ConvolutionalSubsampling(SimpleNamespace(conv_kernel_sizes="5,3", conv_channels=24, encoder_embed_dim=20), feature_dim=7).to(DEVICE)


@pytest.mark.parametrize("lengths", [[27, 13, 1], [1], [2, 2], [40, 39]])
def test_subsampling_in_rows_is_the_plain_one(lengths, subsampling, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(kernels, "available", lambda x: x.dtype == torch.float32)
    plain = copy.deepcopy(subsampling).double()
    features, lengths = torch.randn(len(lengths), max(lengths) + 2, 7, device=DEVICE), torch.tensor(lengths, device=DEVICE)
    features[torch.arange(features.size(1), device=DEVICE) >= lengths[:, None]] = math.nan
    (states, padding), (expected, expected_padding) = subsampling(features, lengths), plain(features.double(), lengths)
    assert torch.equal(padding, expected_padding) and (states[padding] == 0).all()
    torch.testing.assert_close(states.double(), expected, atol=1e-5, rtol=1e-5)
    gradient = torch.randn_like(states)
    states.backward(gradient)
    expected.backward(gradient.double())
    for own, other in zip(subsampling.parameters(), plain.parameters()):
        torch.testing.assert_close(own.grad.double(), other.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_is_copied_behind_a_convolution(dtype, subsampling, monkeypatch):
    given, gated_linear_unit = [], kernels.gated_linear_unit
    monkeypatch.setattr(kernels, "available", lambda x: True)
    monkeypatch.setattr(kernels, "gated_linear_unit", lambda x, *others: given.append(x) or gated_linear_unit(x, *others), raising=False)
    states, _ = subsampling.to(dtype)(torch.randn(3, 40, 7, device=DEVICE, dtype=dtype), torch.tensor([40, 13, 1], device=DEVICE))
    assert len(given) == 2 and all(x.is_contiguous() for x in [*given, states])
    for x in given:  # backward, views alone: of an index, torch would copy the gradient twice
        nodes = [x.grad_fn]
        while "Convolution" not in nodes[-1].name():
            nodes.append(nodes[-1].next_functions[0][0])
        assert [node.name().rstrip("01") for node in nodes] == ["TransposeBackward", "SqueezeBackward", "ConvolutionBackward"]
