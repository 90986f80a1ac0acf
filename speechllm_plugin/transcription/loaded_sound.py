"""Recordings on a device, one behind the other, so that what hears them takes any number of their parts at once."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from speechllm_plugin.data.features import SHIFT_SAMPLES, WINDOW_SAMPLES


class LoadedSound:
    """Waveforms as one tensor.

    Args:
        waveforms: (num_samples,) each, float32 of 16 kHz.

    Attributes:
        samples: (num_samples,) on the device. Each recording begins at a multiple of SHIFT_SAMPLES, after WINDOW_SAMPLES or more of silence,
            and so much silence follows the last.
        starts: of each recording in `samples`.
    """

    def __init__(self, waveforms: Sequence[np.ndarray], device: torch.device):
        self.waveforms = waveforms
        self.starts, place = [], 0
        for waveform in waveforms:
            place += -(-WINDOW_SAMPLES // SHIFT_SAMPLES) * SHIFT_SAMPLES
            self.starts.append(place)
            place += -(-len(waveform) // SHIFT_SAMPLES) * SHIFT_SAMPLES
        samples = torch.empty(place + -(-WINDOW_SAMPLES // SHIFT_SAMPLES) * SHIFT_SAMPLES, pin_memory=device.type == "cuda")
        array, end = samples.numpy(), 0
        for start, waveform in zip(self.starts, waveforms):
            array[end:start] = 0
            end = start + len(waveform)
            array[start:end] = waveform
        array[end:] = 0
        self.samples: Tensor = samples.to(device, non_blocking=True)

    def levels(self) -> list[np.ndarray]:
        """Per recording the level in decibels of every 10 ms; the last may be shorter and is filled up with silence."""
        power = self.samples.view(-1, SHIFT_SAMPLES).square().mean(1)
        decibels = (10 * (power + 1e-12).log10()).cpu().numpy()
        first = [start // SHIFT_SAMPLES for start in self.starts]
        return [decibels[start : start + -(-len(waveform) // SHIFT_SAMPLES)] for start, waveform in zip(first, self.waveforms)]
