"""The largest batch that a GPU's memory holds, found by trying."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from speechllm_plugin.benchmarking import noise_corpus
from speechllm_plugin.benchmarking.random_model import imitate_compression
from speechllm_plugin.benchmarking.training_benchmark import Candidate, Training
from speechllm_plugin.benchmarking.training_measurement import GIBIBYTE
from speechllm_plugin.host import stock_training
from speechllm_plugin.text.out_of_memory import BatchTooLarge

SHARE_OF_MEMORY = 0.9  # the rest is for what a longer training meets
SMALLEST = 2 * noise_corpus.LONGEST_FRAMES
ROUNDED_TO = 1000  # frames
CLOSE_ENOUGH = 1.03  # what a larger batch must promise to be tried


@dataclass
class BatchSizes:
    """The flags of an update: frames of a batch, batches; and the most bytes that torch had allocated in the trials of such batches or larger
    ones that fit."""

    max_tokens: int
    update_freq: int
    peak_bytes: int


def find(candidate: Candidate, training: Training, vocabularies: tuple[int, int]) -> BatchSizes | None:
    """The largest batches of an update of training.frames that fit SHARE_OF_MEMORY of the GPU's; None where SMALLEST does not."""
    _, total = torch.cuda.mem_get_info(training.device)
    peaks: dict[int, int | None] = {}

    def peak_of(num_frames: int) -> int | None:
        peak = peaks[num_frames] = peak_of_updates(candidate, training._replace(max_tokens=num_frames, update_freq=1), vocabularies)
        needed = "too much" if peak is None else f"{peak / GIBIBYTE:.1f} GiB"
        print(f"{candidate.name}: batches of {num_frames:,} frames need {needed}", file=sys.stderr)
        return peak

    torch.cuda.set_per_process_memory_fraction(SHARE_OF_MEMORY, training.device)
    try:
        found = largest(peak_of, int(SHARE_OF_MEMORY * total), min(SMALLEST, training.frames), training.frames)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, training.device)
    if found is None:
        return None
    update_freq = -(-training.frames // found)
    return BatchSizes(-(-training.frames // update_freq), update_freq, peaks[found])


def largest(peak_of: Callable[[int], int | None], limit_bytes: int, smallest: int, most: int) -> int | None:
    """Frames of the largest batch whose peak is at most the limit; None where not even the smallest fits.

    Memory grows nearly in proportion to the frames, so that a peak foretells where the limit is; halving takes over where it misleads.

    Args:
        peak_of: frames of a batch -> the most bytes that its updates need; None: more than there are.
        smallest, most: frames to begin with, and to end with at the latest.
    """
    trial, fits, peak, too_large = most, None, 0, most
    while True:
        found = peak_of(trial)
        if found is not None and found <= limit_bytes:
            fits, peak = trial, found
        else:
            too_large = trial
        if fits == most or too_large == smallest:
            return fits
        if fits is None:
            trial = max(smallest, too_large // 2)
        else:
            foretold = int(fits * limit_bytes / peak)
            trial = min(foretold, (fits + too_large) // 2) // ROUNDED_TO * ROUNDED_TO
            if trial < fits * CLOSE_ENOUGH:
                return fits


def peak_of_updates(candidate: Candidate, training: Training, vocabularies: tuple[int, int]) -> int | None:
    """The most bytes allocated in updates of one batch each, among them those of a whole corpus' longest and shortest utterances.

    They are made three times, as graphs are captured when a shape comes again. None: the memory does not suffice.
    """
    model, peaks = candidate.model, [0]

    def update(trainer: Any, samples: Any, step: Callable[[], Any]) -> Any:
        if trainer.get_num_updates() == 0:
            imitate_compression(trainer.get_model(), model.setting)
        return step()

    with TemporaryDirectory() as name:
        folder = Path(name)
        lengths = noise_corpus.extreme_lengths(training.max_tokens, min(noise_corpus.LONGEST_FRAMES, training.max_tokens))
        noise_corpus.write(folder, lengths, *vocabularies)
        try:
            stock_training.run([*training.command(folder, folder, candidate.flags), "--max-epoch", "3", "--max-update", "0"], update, peaks.append)
        except (torch.OutOfMemoryError, BatchTooLarge):
            return None
    return max(peaks)
