"""Devices that exist are found by their names, and no other name is taken."""

import pytest
import torch

from speechllm_plugin.host.devices import device_name, existing_device


def test_without_a_gpu_there_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert existing_device(None) == existing_device("cpu") == torch.device("cpu")
    assert device_name(existing_device("cpu")) == "CPU, 1 thread"


def test_gpus_have_numbers(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert existing_device(None) == existing_device("cuda") == torch.device("cuda", 0)
    assert existing_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="with one of the 2 GPUs here, but is cuda:2"):
        existing_device("cuda:2")


@pytest.mark.parametrize("name", ["quantum", "cuda:", "cuda:x", "cpu:0", "mps", ""])
def test_what_is_no_device_is_an_error(name):
    with pytest.raises(ValueError, match="--device must be cpu, cuda or cuda:N with one of the "):
        existing_device(name)
