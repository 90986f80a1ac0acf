"""Kernels for GPUs: what the plain PyTorch formulas of the models compute, with less traffic in memory and fewer launches.

Each stands beside the formulas that it replaces, and is tested against them in float64. Triton, which comes with torch's builds for
GPUs, is imported at the first call of a kernel: nothing here needs it before.
"""

import functools
import importlib
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from speechllm_plugin.models.kernels.adjacent_parts import parts_of
from speechllm_plugin.models.kernels.fused_attention import fused_attention, supports  # noqa: F401

HAS_TRITON = find_spec("triton") is not None
FILES_OF_KERNELS = {
    "activate": "activation",
    "add": "residual_norm",
    "add_norm": "residual_norm",
    "batch_norm_silu": "norm_silu",
    "ctc_loss": "ctc_lattice",
    "depthwise_conv": "convolution_over_time",
    "gated_linear_unit": "activation",
    "layer_norm": "residual_norm",
    "smoothed_loss": "token_losses",
}  # function: its file


def __getattr__(name: str) -> Any:
    if name not in FILES_OF_KERNELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{FILES_OF_KERNELS[name]}"), name)


def available(x: torch.Tensor) -> bool:
    """Whether kernels can run on this tensor."""
    return HAS_TRITON and x.device.type == "cuda" and is_new_enough(x.device)


@functools.cache
def is_new_enough(device: torch.device) -> bool:
    """Whether Triton serves this GPU: NVIDIA's from Ampere on; AMD's were not tried."""
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)


def serve_attention(query: torch.Tensor) -> bool:
    """Whether training attends with queries (..., D) like these in the fused kernel."""
    return for_training(query) and supports(query)


def is_plain(layer: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a layer computes what its class does, so that its weights say all: a subclass or a hook (weight_norm, quantisation) may do more."""
    return type(layer) is kind and not (layer._forward_hooks or layer._forward_pre_hooks)


def product_and_bias(x: Tensor, layer: nn.Linear) -> tuple[Tensor, Tensor | None]:
    """What layer(x) is the sum of, for kernels that add the bias; layer(x) and None where the layer is not plain."""
    return (nn.functional.linear(x, layer.weight), layer.bias) if is_plain(layer, nn.Linear) else (layer(x), None)


def for_training(x: torch.Tensor) -> bool:
    """Whether kernels can run that save what a backward pass needs."""
    return available(x) and torch.is_grad_enabled()


def parts(projected: torch.Tensor, num_parts: int) -> tuple[torch.Tensor, ...]:
    """The (..., C) parts of (..., num_parts * C); in training with kernels their gradients are written side by side."""
    return parts_of(projected, num_parts) if for_training(projected) else projected.chunk(num_parts, -1)
