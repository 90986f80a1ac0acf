"""The log says that kernels are compiled and graphs captured, in few lines, and nothing where neither is."""

import logging
from types import SimpleNamespace

import pytest
from tiny_model import make_model

from speechllm_plugin.models import kernels
from speechllm_plugin.tasks import warm_up
from speechllm_plugin.tasks.warm_up import WarmUp, heads_without_kernel


@pytest.fixture
def clock(monkeypatch):
    """Each batch takes a second, the first one 40."""
    now = SimpleNamespace(seconds=0)
    monkeypatch.setattr(warm_up.time, "monotonic", lambda: now.seconds)
    return now


WIDE = {"encoder_embed_dim": 64, "decoder_embed_dim": 64}  # 32 channels a head


def lines_of(caplog, clock, captures, captured, model=None):
    """(number of the batch before which it came, line)."""
    lines, watched = [], WarmUp(model or make_model("dfp", **WIDE), captured)
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


def test_heads_that_no_kernel_takes_are_named(caplog, clock, monkeypatch):
    monkeypatch.setattr(kernels, "available", lambda tensor: True)
    (number, warning), *_ = lines_of(caplog, clock, [0] * 3, None, make_model("xattn", encoder_embed_dim=48, decoder_embed_dim=48))
    assert number == 0 and warning.startswith("attention runs plain operations, as heads have 24 channels, but its kernel takes 16, 32, 64")
    assert heads_without_kernel(make_model("xattn", ("conformer", "xl", "none"), **WIDE).bfloat16()) == []


def test_a_gpu_without_kernels_is_warned_of(caplog, clock):
    watched = WarmUp(make_model("dfp"), None)
    watched.example = SimpleNamespace(device=SimpleNamespace(type="cuda"))
    watched.before_batch()
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "trains with plain operations" in caplog.text


def test_captures_are_counted_in_few_lines_up_to_the_last(caplog, clock):
    captures = [0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 7, *[7] * 300, 8, *[8] * 10]
    lines = lines_of(caplog, clock, captures, SimpleNamespace(num_captures=0))
    assert [number for number, _ in lines] == [3, 4, 6, 110, 311]
    assert lines[0][1] == "CUDA graphs: 1 captured in 3 batches, after 42 s"
    assert lines[3][1] == "CUDA graphs: 7 captured, none in the last 100 batches; 149 s since the start"
    assert lines[4][1].startswith("CUDA graphs: 8 captured in 311 batches")
