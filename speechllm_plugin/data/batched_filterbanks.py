"""The filterbanks of data/features.py for many parts of recordings at once, on any device.

Kaldi's computation step by step, in float32 as there (feature-window.cc, mel-computations.cc, feature-fbank.cc).

Shapes: T frames (10 ms) of all parts together   C filterbanks.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from speechllm_plugin.data import audio
from speechllm_plugin.data.features import INT16_SCALE, NUM_BINS, SHIFT_SAMPLES, WINDOW_SAMPLES, num_frames

FOURIER_SAMPLES, LOWEST_HERTZ, PREEMPHASIS = 512, 20.0, 0.97
FRAMES_AT_ONCE = {"cpu": 1 << 10, "cuda": 1 << 15}  # of the Fourier transforms, for which a frame needs 6 KiB: a CPU wants them in its cache


@torch.no_grad()
def batched_filterbanks(samples: Tensor, parts: Sequence[tuple[int, int]]) -> list[Tensor]:
    """(T, C) filterbanks of each part, as features.filterbanks() gives them within its precision.

    Args:
        samples: (num_samples,) float32 in [-1, 1], 16 kHz, of one recording after the other. WINDOW_SAMPLES follow the last part.
        parts: first sample and end of each. Less than one window is filled up with zeros.
    """
    if not parts:
        return []
    counts = [num_frames(end - start) for start, end in parts]
    first_samples = torch.cat([start + SHIFT_SAMPLES * torch.arange(count) for (start, _), count in zip(parts, counts)]).to(samples.device)
    ends = torch.tensor([end for _, end in parts]).repeat_interleave(torch.tensor(counts)).to(samples.device)
    frames = samples.unfold(0, WINDOW_SAMPLES, 1)
    inside = torch.arange(WINDOW_SAMPLES, device=samples.device)
    found = []
    size = FRAMES_AT_ONCE[samples.device.type]
    for starts, end in zip(first_samples.split(size), ends.split(size)):
        chosen = frames[starts].masked_fill(starts[:, None] + inside >= end[:, None], 0)  # (T, 400)
        found.append(log_mel(chosen * float(INT16_SCALE)))
    return list(torch.cat(found).split(counts))


def log_mel(frames: Tensor) -> Tensor:
    """(T, C) of (T, 400) samples on Kaldi's scale."""
    window, filters = constants(frames.device)
    frames = frames - frames.mean(1, keepdim=True)
    frames = frames - PREEMPHASIS * torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    spectrum = torch.view_as_real(torch.fft.rfft(frames * window, FOURIER_SAMPLES)[:, :-1])  # (T, 256, 2)
    return (spectrum.square().sum(-1) @ filters).clamp(min=torch.finfo(torch.float32).eps).log()


@functools.cache
def constants(device: torch.device) -> tuple[Tensor, Tensor]:
    """Kaldi's window (400,), and its triangular filters (256, C)."""
    window = torch.hann_window(WINDOW_SAMPLES, periodic=False, dtype=torch.float64) ** 0.85

    def mel(hertz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hertz / 700.0)

    lowest, highest = mel(torch.tensor([LOWEST_HERTZ, audio.SAMPLE_RATE / 2], dtype=torch.float64))
    edges = lowest + (highest - lowest) / (NUM_BINS + 1) * torch.arange(NUM_BINS + 2)
    place = mel(torch.arange(FOURIER_SAMPLES // 2, dtype=torch.float64) * audio.SAMPLE_RATE / FOURIER_SAMPLES)[:, None]
    rise, fall = (place - edges[:-2]) / (edges[1:-1] - edges[:-2]), (edges[2:] - place) / (edges[2:] - edges[1:-1])
    return window.float().to(device), torch.minimum(rise, fall).clamp(min=0).float().to(device)


def normalised(features: Tensor) -> Tensor:
    """As features.utterance_cmvn()."""
    centred = features - features.mean(0)
    return centred / centred.square().mean(0).clamp(min=1e-10).sqrt()
