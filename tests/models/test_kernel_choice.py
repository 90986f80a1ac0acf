"""Kernels serve the GPUs that Triton serves; everything else has the plain operations."""

from types import SimpleNamespace

import pytest
import torch

from speechllm_plugin.models import kernels

NVIDIAS = torch.device("cuda", 7)


CASES = [((9, 0), None, True), ((8, 0), None, True), ((7, 5), None, False), ((9, 4), "6.4", False)]


@pytest.mark.parametrize(("capability", "hip", "expected"), CASES)
def test_a_gpu_is_served_from_ampere_on(capability, hip, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(kernels, "HAS_TRITON", True)
    kernels.is_new_enough.cache_clear()
    assert kernels.available(SimpleNamespace(device=NVIDIAS)) is expected
    kernels.is_new_enough.cache_clear()


def test_a_cpu_has_the_plain_operations(monkeypatch):
    monkeypatch.setattr(kernels, "HAS_TRITON", True)
    assert not kernels.available(torch.zeros(1)) and not kernels.for_training(torch.zeros(1, requires_grad=True))
