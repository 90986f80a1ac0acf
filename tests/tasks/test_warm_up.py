"""The log says that kernels are compiled and graphs captured, in few lines, and nothing where neither is."""

import logging
from types import SimpleNamespace

import pytest
import torch

from speechllm_plugin.models import kernels
from speechllm_plugin.tasks import warm_up
from speechllm_plugin.tasks.warm_up import WarmUp


@pytest.fixture
def clock(monkeypatch):
    """Each batch takes a second, the first one 40."""
    now = SimpleNamespace(seconds=0)
    monkeypatch.setattr(warm_up.time, "monotonic", lambda: now.seconds)
    return now


def lines_of(caplog, clock, captures, captured):
    """(number of the batch before which it came, line)."""
    lines, watched = [], WarmUp(torch.device("cpu"), captured)
    for number, num_captures in enumerate(captures):
        if captured is not None:
            captured.num_captures = num_captures
        caplog.clear()
        with caplog.at_level(logging.INFO):
            watched.before_batch()
        lines += [(number, message) for message in caplog.messages]
        clock.seconds += 1 if number else 40
    return lines


def test_nothing_is_said_on_a_cpu(caplog, clock):
    assert lines_of(caplog, clock, [0] * 300, None) == []


def test_the_first_batch_compiles_kernels(caplog, clock, monkeypatch):
    monkeypatch.setattr(kernels, "available", lambda tensor: True)
    (before, first), (after, second) = lines_of(caplog, clock, [0] * 300, None)
    assert (before, after) == (0, 1)
    assert "compiles kernels for this GPU" in first and second == "the first batch took 40 s; its kernels are in Triton's cache now"


def test_captures_are_counted_in_few_lines_up_to_the_last(caplog, clock):
    captures = [0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 7, *[7] * 300, 8, *[8] * 10]
    lines = lines_of(caplog, clock, captures, SimpleNamespace(num_captures=0))
    assert [number for number, _ in lines] == [3, 4, 6, 110, 311]
    assert lines[0][1] == "CUDA graphs: 1 captured in 3 batches, after 42 s"
    assert lines[3][1] == "CUDA graphs: 7 captured, none in the last 100 batches; 149 s since the start"
    assert lines[4][1].startswith("CUDA graphs: 8 captured in 311 batches")
