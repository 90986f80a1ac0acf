"""Where somebody speaks, by Silero's network, whose wheel brings its weights."""

import threading
import warnings
from collections.abc import Sequence

import numpy as np
import torch

from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.data.features import SHIFT_SAMPLES

CHUNK_SAMPLES = 512  # the network's step of 32 ms
# Recordings are heard in blocks, many at a time: a call for one chunk of 128 blocks takes five times as long as for one of a single block.
BLOCK_CHUNKS = 250  # 8 s
WARM_UP_CHUNKS = 31  # 1 s before a block, for the network's memory
BLOCKS_AT_ONCE = 256
# Both chosen on digits of the training set: at 0.5 and without a gain the network misses one of forty utterances of a single word.
THRESHOLD = 0.2
PEAK, MOST_GAIN = 0.9, 30.0  # a block is made so loud that its loudest sample is PEAK, but no more than 30 dB louder
SHORTEST_SPEECH_MS, SHORTEST_PAUSE_MS = 60, 100
# The network goes on for a while after the last word. Within its spans a pause is what is so much less loud than the rest.
LOUD_QUANTILE, QUIET_DECIBELS = 0.95, 30.0


class VoiceActivity:
    """Silero's voice activity detection. Threads take turns, since the network keeps a memory."""

    def __init__(self, device: torch.device):
        num_threads = torch.get_num_threads()
        import silero_vad  # sets the threads of the whole process to one

        torch.set_num_threads(num_threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript, in which the network is published, is deprecated
            self.network = silero_vad.load_silero_vad().to(device)
        self.spans_of = silero_vad.get_speech_timestamps_from_probs
        self.device, self.lock = device, threading.Lock()

    def spans(self, waveforms: Sequence[np.ndarray]) -> list[list[tuple[int, int]]]:
        """Per waveform (num_samples,) of 16 kHz the first sample and the end of every stretch of speech, in order."""
        return [
            [part for span in self.heard(len(waveform), probabilities) for part in loud_parts(waveform, span)]
            for waveform, probabilities in zip(waveforms, self.probabilities(waveforms))
        ]

    def heard(self, num_samples: int, probabilities: np.ndarray) -> list[tuple[int, int]]:
        """The spans in which the network hears speech."""
        found = self.spans_of(
            probabilities.tolist(),
            sampling_rate=SAMPLE_RATE,
            threshold=THRESHOLD,
            min_speech_duration_ms=SHORTEST_SPEECH_MS,
            min_silence_duration_ms=SHORTEST_PAUSE_MS,
            speech_pad_ms=0,
            audio_length_samples=num_samples,
        )
        return [(span["start"], span["end"]) for span in found]

    def probabilities(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Per waveform the (chunks,) probability of speech in each 32 ms; the last chunk may be longer than the waveform."""
        counts = [-(-len(waveform) // CHUNK_SAMPLES) for waveform in waveforms]
        blocks = [(row, first) for row, count in enumerate(counts) for first in range(0, count, BLOCK_CHUNKS)]
        blocks.sort(key=lambda block: counts[block[0]] - block[1])  # by length, as far as blocks are not full
        results = [np.zeros(count, dtype=np.float32) for count in counts]
        for start in range(0, len(blocks), BLOCKS_AT_ONCE):
            chosen = blocks[start : start + BLOCKS_AT_ONCE]
            heard = self._hear([waveforms[row][max(0, first - WARM_UP_CHUNKS) * CHUNK_SAMPLES :] for row, first in chosen])
            for (row, first), probabilities in zip(chosen, heard):
                end = min(first + BLOCK_CHUNKS, counts[row])
                warm_up = first - max(0, first - WARM_UP_CHUNKS)
                results[row][first:end] = probabilities[warm_up : warm_up + end - first]
        return results

    @torch.inference_mode()
    def _hear(self, waveforms: Sequence[np.ndarray]) -> np.ndarray:
        """(B, chunks) probabilities of the first WARM_UP_CHUNKS + BLOCK_CHUNKS of each."""
        limit = (WARM_UP_CHUNKS + BLOCK_CHUNKS) * CHUNK_SAMPLES
        longest = min(limit, max(map(len, waveforms)))
        samples = torch.zeros(len(waveforms), -(-longest // CHUNK_SAMPLES) * CHUNK_SAMPLES)
        for row, waveform in zip(samples, waveforms):
            row[: min(len(waveform), limit)] = torch.from_numpy(waveform[:limit])
        samples *= (PEAK / samples.abs().amax(1, keepdim=True)).clamp(max=MOST_GAIN)
        with self.lock:
            self.network.reset_states()
            chunks = samples.to(self.device).split(CHUNK_SAMPLES, dim=1)
            return torch.cat([self.network(chunk, SAMPLE_RATE) for chunk in chunks], dim=1).float().cpu().numpy()


def loud_parts(waveform: np.ndarray, span: tuple[int, int]) -> list[tuple[int, int]]:
    """A span of speech without its pauses: the stretches of SHORTEST_PAUSE_MS or more that are far less loud than the rest of it."""
    start, end = span
    num_frames = -(-(end - start) // SHIFT_SAMPLES)
    samples = np.zeros(num_frames * SHIFT_SAMPLES, dtype=np.float32)
    samples[: end - start] = waveform[start:end]
    decibels = 10 * np.log10(np.square(samples).reshape(num_frames, SHIFT_SAMPLES).mean(1) + 1e-12)
    is_loud = decibels > np.quantile(decibels, LOUD_QUANTILE) - QUIET_DECIBELS
    edges = np.flatnonzero(np.diff(is_loud, prepend=False, append=False)).reshape(-1, 2)  # first loud frame and end of each stretch
    far = np.flatnonzero(edges[1:, 0] - edges[:-1, 1] >= SHORTEST_PAUSE_MS // 10)
    starts, ends = edges[np.append(0, far + 1), 0], edges[np.append(far, len(edges) - 1), 1]
    return [(start + int(first) * SHIFT_SAMPLES, min(end, start + int(last) * SHIFT_SAMPLES)) for first, last in zip(starts, ends)]
