"""The setting that a model file leaves open: the vocabularies, and the utterance whose operations are counted."""

import math
from dataclasses import dataclass

from speechllm_plugin.data.features import FRAMES_PER_SECOND, NUM_BINS
from speechllm_plugin.models import registry
from speechllm_plugin.models.compressions import COMPRESSIONS
from speechllm_plugin.models.config import SpeechToTextConfig, flag
from speechllm_plugin.models.cost import Lengths
from speechllm_plugin.models.speech_to_text import Sizes, SpeechToTextModel

LARGEST_SETTING = 10**8  # of each number: what is computed with more leaves the range of 64 bits
SMALLEST_VOCABULARY = 5  # fairseq's four special symbols and a word


@dataclass
class Setting:
    """Sizes and lengths that a model is built and measured for.

    vocab_size:            types of the target vocabulary, special symbols included.
    transcript_vocab_size: the same of the transcripts' vocabulary; needed with CTC only.
    seconds, tokens:       length of the utterance and of its text.
    beam:                  hypotheses in decoding.
    compression_rate:      speech states before / after compression; None is what the strategy assumes.
    """

    vocab_size: int
    transcript_vocab_size: int | None
    seconds: float
    tokens: int
    beam: int
    compression_rate: float | None

    def check(self, cfg: SpeechToTextConfig) -> None:
        """Raise ValueError for a number that is out of range, or lacks or is too many for the model."""
        smallest = {"vocab_size": SMALLEST_VOCABULARY, "transcript_vocab_size": SMALLEST_VOCABULARY, "seconds": 1 / FRAMES_PER_SECOND}
        for name, value in vars(self).items():
            if value is not None and not smallest.get(name, 1) <= value <= LARGEST_SETTING:
                rule = f"at most {LARGEST_SETTING:,}" if value > LARGEST_SETTING else f"at least {smallest.get(name, 1)}"
                raise ValueError(f"{flag(name)} must be {rule}, but is {value}")
        if cfg.ctc_layer and self.transcript_vocab_size is None:
            raise ValueError(f"--ctc-layer {cfg.ctc_layer} predicts transcripts: give --transcript-vocab-size")
        if self.compression_rate is not None and not depends_on_data(cfg):
            raise ValueError(
                f"--compression-rate is for compression that depends on the data, but --ctc-compression is {cfg.ctc_compression}: leave it out"
            )

    def rate(self, cfg: SpeechToTextConfig) -> float:
        """Speech states before / after compression."""
        if cfg.ctc_compression == "none":
            return 1.0
        return self.compression_rate or COMPRESSIONS[cfg.ctc_compression].assumed_rate(cfg)

    def lengths(self, model: SpeechToTextModel) -> Lengths:
        """The lengths of the utterance in a model."""
        cfg, num_frames = model.encoder.cfg, round(self.seconds * FRAMES_PER_SECOND)
        num_states = model.encoder.subsampling.num_states(num_frames)
        num_compressed = min(math.ceil(num_states / self.rate(cfg)), cfg.ctc_compression_max_length or num_states)
        return Lengths(num_frames, num_states, num_compressed, self.tokens)

    def build(self, arch: str, cfg: SpeechToTextConfig, max_tokens: int) -> SpeechToTextModel:
        """The model with random weights, for texts of at most `max_tokens`."""
        return registry.build(arch, cfg, self.sizes(cfg, max_tokens), self.vocab_size)

    def shapes(self, arch: str, cfg: SpeechToTextConfig) -> SpeechToTextModel:
        """The model without weights: its parameters have shapes only."""
        return registry.build(arch, cfg, self.sizes(cfg), self.vocab_size, device="meta")

    def sizes(self, cfg: SpeechToTextConfig, max_tokens: int = 0) -> Sizes:
        num_transcript_types = self.transcript_vocab_size if cfg.ctc_layer else None
        return Sizes(NUM_BINS, num_transcript_types or 0, max_frames=0, max_tokens=max_tokens)  # frames limit data sets only


def depends_on_data(cfg: SpeechToTextConfig) -> bool:
    """Whether the number of states after compression does."""
    return cfg.ctc_compression != "none" and COMPRESSIONS[cfg.ctc_compression].depends_on_data
