"""Noise for test sets: pink, or of a corpus's own recordings where nobody speaks."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from speechllm_plugin.data.audio import SAMPLE_RATE

BLOCK_SAMPLES = SAMPLE_RATE // 20  # 50 ms, of which levels are measured
FEWEST_BLOCKS = 4  # of a stretch of background
LEAST_DBFS = -80  # below lies what a file holds where there is no recording: zeros, or the last bit
BELOW_SPEECH_DB = 10  # background is at least so much quieter than its recording
QUIETEST_PERCENT = 15  # of the blocks of a recording, which may be background
ENOUGH_SECONDS, FEWEST_SECONDS = 60, 1  # of background
FADE_SAMPLES = SAMPLE_RATE // 100


def pink_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(num_samples,) noise whose power is in proportion to 1 / frequency, at no particular level."""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, num_samples)


class Background:
    """Noise made of stretches of recordings in which nobody speaks.

    Of every recording those blocks of 50 ms are taken that are among its quietest, far below its mean level, and no digital silence,
    if some follow one another. Each stretch is brought to the same level.

    Args:
        recordings: (num_samples,) waveforms at 16 kHz, read until there is a minute of background.

    Raises:
        ValueError: they have less than a second of it.
    """

    def __init__(self, recordings: Iterable[np.ndarray]):
        self.stretches: list[np.ndarray] = []
        for waveform in recordings:
            self.stretches += stretches(waveform)
            if self.seconds >= ENOUGH_SECONDS:
                break
        if self.seconds < FEWEST_SECONDS:
            raise ValueError(
                f"the recordings have {self.seconds:.2f} s of background, but {FEWEST_SECONDS} s at least must be found: take another split "
                "(--noise-from), or --noise pink"
            )

    @property
    def seconds(self) -> float:
        return sum(map(len, self.stretches)) / SAMPLE_RATE

    def __call__(self, num_samples: int, rng: np.random.Generator) -> np.ndarray:
        """(num_samples,) noise: stretches in random order, each faded into the next."""
        noise, end = np.zeros(num_samples + 2 * FADE_SAMPLES), FADE_SAMPLES
        fade = np.sin(np.linspace(0, np.pi / 2, FADE_SAMPLES))  # of unrelated sounds the power stays the same
        while end < num_samples + FADE_SAMPLES:
            stretch = self.stretches[rng.integers(len(self.stretches))].copy()
            stretch[:FADE_SAMPLES] *= fade
            stretch[-FADE_SAMPLES:] *= fade[::-1]
            start = end - FADE_SAMPLES
            room = noise[start : start + len(stretch)]
            room += stretch[: len(room)]
            end = start + len(stretch)
        return noise[FADE_SAMPLES : FADE_SAMPLES + num_samples]


def stretches(waveform: np.ndarray) -> list[np.ndarray]:
    """The parts of a recording that are background, each with a root mean square of 1."""
    blocks = waveform[: len(waveform) // BLOCK_SAMPLES * BLOCK_SAMPLES].reshape(-1, BLOCK_SAMPLES).astype(np.float64)
    if not len(blocks):
        return []
    levels, mean_level = decibels(np.square(blocks).mean(1)), decibels(np.square(blocks).mean())
    limit = min(np.percentile(levels, QUIETEST_PERCENT), mean_level - BELOW_SPEECH_DB)
    is_background = (levels <= limit) & (levels > LEAST_DBFS)
    borders = np.flatnonzero(np.diff(np.pad(is_background.astype(np.int8), 1)))
    found = [blocks[first:last].ravel() for first, last in zip(borders[::2], borders[1::2]) if last - first >= FEWEST_BLOCKS]
    return [each / np.sqrt(np.mean(np.square(each))) for each in found]


def decibels(power: Any) -> Any:
    """Of a power, or of an array of some."""
    return 10 * np.log10(np.maximum(power, 1e-20))


def mixed(speech: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Speech and noise, whose mean powers over the whole have this ratio (dB); made quieter as a whole where it would be clipped.

    Raises:
        ValueError: the speech is nothing but zeros.
    """
    power = np.mean(np.square(speech, dtype=np.float64))
    if power == 0:
        raise ValueError("is digital silence, to which no noise has a ratio; leave the row out")
    mixture = speech + noise * np.sqrt(power / 10 ** (snr / 10) / np.mean(np.square(noise)))
    return mixture / max(1.0, np.abs(mixture).max())
