"""Filterbanks of many parts at once: those of one after the other."""

import numpy as np
import torch
from gpu import needs_gpu

from speechllm_plugin.data import features
from speechllm_plugin.data.batched_filterbanks import batched_filterbanks, normalised


def test_parts_have_the_filterbanks_that_they_have_alone(monkeypatch):
    monkeypatch.setattr("speechllm_plugin.data.batched_filterbanks.FRAMES_AT_ONCE", {"cpu": 30})
    rng = np.random.default_rng(0)
    waveform = (rng.uniform(-0.5, 0.5, 40000) * np.repeat(10.0 ** rng.uniform(-4, 0, 40), 1000)).astype(np.float32)
    waveform[9000:12000] = 0
    samples = torch.from_numpy(np.append(waveform, np.zeros(400, np.float32)))
    parts = [(0, 16000), (8000, 12345), (39990, 40000), (20000, 20399), (20000, 20400), (20000, 20560), (9500, 11000)]
    found = batched_filterbanks(samples, parts)
    for each, (start, end) in zip(found, parts, strict=True):
        expected = features.filterbanks(waveform[start:end])
        np.testing.assert_allclose(each.numpy(), expected, atol=5e-3)
        if len(each) > 1 and start != 9500:  # silence alone becomes noise of rounding
            np.testing.assert_allclose(normalised(each).numpy(), features.utterance_cmvn(expected), atol=2e-2)


def test_no_parts_have_none():
    assert batched_filterbanks(torch.zeros(400), []) == []


@needs_gpu
def test_a_gpu_makes_the_filterbanks_of_a_cpu():
    samples, parts = torch.randn(48000, generator=torch.Generator().manual_seed(1)) * 0.1, [(0, 16000), (8000, 12345), (20000, 47000)]
    for one, other in zip(batched_filterbanks(samples.cuda(), parts), batched_filterbanks(samples, parts), strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=5e-3, rtol=0)
