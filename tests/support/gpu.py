"""Tests that have something to test on a GPU carry the mark `gpu`, also those that run without one: `pytest -m gpu -n 12` runs them there."""

import pytest
import torch

NEEDS_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]


def needs_gpu(test):
    """The test, which is skipped without a GPU."""
    for mark in NEEDS_GPU:
        test = mark(test)
    return test


def needs_two_gpus(test):
    """The test, which is skipped with fewer."""
    return pytest.mark.gpu(pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs")(test))
