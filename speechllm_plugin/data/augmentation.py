"""SpecAugment with the keys and the meaning of fairseq's data config."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SpecAugment:
    """Masks stretches of frames and of filterbank bins.

    time_warp_W: must be 0, as time is not warped.
    freq_mask_N, time_mask_N: number of masks.
    freq_mask_F, time_mask_T: the width of a mask is drawn below this, in bins and frames.
    time_mask_p: a time mask is at most this part of the utterance, so 0 masks no time.
    mask_value: of the masked features; None is the utterance's mean.

    Source: Park et al. 2019, SpecAugment (arXiv:1904.08779).
    """

    time_warp_W: int = 0
    freq_mask_N: int = 0
    freq_mask_F: int = 0
    time_mask_N: int = 0
    time_mask_T: int = 0
    time_mask_p: float = 0.0
    mask_value: float | None = None

    def __post_init__(self):
        if self.time_warp_W:
            raise ValueError(f"specaugment: time_warp_W must be 0 (time warping is not supported), but is {self.time_warp_W}")
        for number, width in (("freq_mask_N", "freq_mask_F"), ("time_mask_N", "time_mask_T")):
            if getattr(self, number) < 0:
                raise ValueError(f"specaugment: {number} must not be negative, but is {getattr(self, number)}")
            if getattr(self, number) > 0 and getattr(self, width) < 1:
                raise ValueError(f"specaugment: {width} must be positive when {number} is, but is {getattr(self, width)}")

    def __call__(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A masked copy of (T, C) features."""
        num_frames, num_bins = features.shape
        masked = features.copy()
        if num_frames == 0 or num_bins < self.freq_mask_F:
            return masked
        value = features.mean() if self.mask_value is None else self.mask_value
        for start, end in _spans(rng, self.freq_mask_N, self.freq_mask_F, num_bins):
            masked[:, start:end] = value
        for start, end in _spans(rng, self.time_mask_N, min(self.time_mask_T, int(num_frames * self.time_mask_p)), num_frames):
            masked[start:end] = value
        return masked


def _spans(rng, num_masks, width_limit, length):
    """(start, end) of every mask; widths are drawn below width_limit, starts below length - width, as fairseq draws them."""
    if width_limit < 1:
        return []
    spans = []
    for width_draw, start_draw in rng.random((num_masks, 2)).tolist():
        width = int(width_draw * width_limit)
        start = int(start_draw * (length - width))
        spans.append((start, start + width))
    return spans
