"""Where somebody speaks: Silero's network says about where, and the level of the sound exactly."""

from collections.abc import Sequence

import numpy as np
import torch

from speechllm_plugin.data.audio import SAMPLE_RATE
from speechllm_plugin.data.features import SHIFT_SAMPLES
from speechllm_plugin.data.loudness import is_loud
from speechllm_plugin.transcription.loaded_sound import LoadedSound
from speechllm_plugin.transcription.silero_package import get_speech_timestamps_from_probs
from speechllm_plugin.transcription.voice_network import CHUNK_SAMPLES, CONTEXT_SAMPLES, VoiceNetwork
from speechllm_plugin.transcription.windows import Span

# Recordings are heard in blocks, many at a time.
BLOCK_CHUNKS = 250  # 8 s
WARM_UP_CHUNKS = 31  # 1 s before a block, for the network's memory
BLOCKS_AT_ONCE = {"cpu": 4, "cuda": 256}
# Both chosen on digits of the training set: at 0.5 and without a gain the network misses one of forty utterances of a single word.
THRESHOLD = 0.2
PEAK, MOST_GAIN = 0.9, 30.0  # a block is made so loud that its loudest sample is PEAK, but no more than 30 dB louder
SHORTEST_SPEECH_MS, SHORTEST_PAUSE_MS = 60, 100
# The network hears the first sound of one word in ten late, and goes on for a while after the last word. In its spans and as far as this
# around them, speech is what is loud; chosen on the digits' development set.
REACH_MS = 200


class VoiceActivity:
    """The voice activity detection of all calls on a device."""

    def __init__(self, device: torch.device):
        self.network, self.device = VoiceNetwork().to(device).eval(), device

    def spans(self, sound: LoadedSound) -> list[list[Span]]:
        """Per recording the first sample and the end of every stretch of speech, in order."""
        return [
            [part for span in self.heard(len(waveform), probabilities) for part in loud_parts(levels, span)]
            for waveform, levels, probabilities in zip(sound.waveforms, sound.levels(), self.probabilities(sound))
        ]

    def heard(self, num_samples: int, probabilities: np.ndarray) -> list[Span]:
        """The spans in which the network hears speech, REACH_MS longer at each end; those that would meet share what is between them."""
        found = get_speech_timestamps_from_probs(
            probabilities.tolist(),
            sampling_rate=SAMPLE_RATE,
            threshold=THRESHOLD,
            min_speech_duration_ms=SHORTEST_SPEECH_MS,
            min_silence_duration_ms=SHORTEST_PAUSE_MS,
            speech_pad_ms=REACH_MS,
            audio_length_samples=num_samples,
        )
        return [(span["start"], span["end"]) for span in found]

    def probabilities(self, sound: LoadedSound) -> list[np.ndarray]:
        """Per recording the (chunks,) probability of speech in each 32 ms; the last chunk may be longer than the recording."""
        counts = [-(-len(waveform) // CHUNK_SAMPLES) for waveform in sound.waveforms]
        blocks = [(row, first) for row, count in enumerate(counts) for first in range(0, count, BLOCK_CHUNKS)]
        blocks.sort(key=lambda block: counts[block[0]] - block[1])  # by length, as far as blocks are not full
        results = [np.zeros(count, dtype=np.float32) for count in counts]
        size = BLOCKS_AT_ONCE[self.device.type]
        for chosen in (blocks[start : start + size] for start in range(0, len(blocks), size)):
            warm_up = [min(first, WARM_UP_CHUNKS) for _, first in chosen]
            num_chunks = [before + min(BLOCK_CHUNKS, counts[row] - first) for before, (row, first) in zip(warm_up, chosen)]
            starts = [sound.starts[row] + (first - before) * CHUNK_SAMPLES for before, (row, first) in zip(warm_up, chosen)]
            ends = [sound.starts[row] + len(sound.waveforms[row]) for row, _ in chosen]
            for (row, first), before, count, heard in zip(chosen, warm_up, num_chunks, self._hear(sound.samples, starts, ends, max(num_chunks))):
                results[row][first : first + count - before] = heard[before:count]
        return results

    @torch.inference_mode()
    def _hear(self, samples: torch.Tensor, starts: Sequence[int], ends: Sequence[int], num_chunks: int) -> np.ndarray:
        """(B, chunks) probabilities from each start on, with silence from each end on."""
        first, end = (torch.tensor(each, device=self.device)[:, None] for each in (starts, ends))
        place = first + torch.arange(-CONTEXT_SAMPLES, num_chunks * CHUNK_SAMPLES, device=self.device)  # (B, N)
        rows = samples[place.clamp(max=len(samples) - 1)].masked_fill(place >= end, 0)
        rows *= (PEAK / rows.abs().amax(1, keepdim=True)).clamp(max=MOST_GAIN)
        return self.network(rows).cpu().numpy()


def loud_parts(levels: np.ndarray, span: Span) -> list[Span]:
    """A span of speech without its pauses: the stretches of SHORTEST_PAUSE_MS or more that are far less loud than the rest of it.

    Args:
        levels: of the recording, decibels of every 10 ms.
    """
    start, end = span
    first = start // SHIFT_SAMPLES
    decibels = levels[first : -(-end // SHIFT_SAMPLES)]
    edges = np.flatnonzero(np.diff(is_loud(decibels), prepend=False, append=False)).reshape(-1, 2)  # first loud frame and end of each stretch
    far = np.flatnonzero(edges[1:, 0] - edges[:-1, 1] >= SHORTEST_PAUSE_MS // 10)
    starts, ends = edges[np.append(0, far + 1), 0] + first, edges[np.append(far, len(edges) - 1), 1] + first
    return [(max(start, int(each) * SHIFT_SAMPLES), min(end, int(last) * SHIFT_SAMPLES)) for each, last in zip(starts, ends)]
