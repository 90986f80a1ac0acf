"""Readings, which are what a model makes of utterances, and the distance of two of them."""

from typing import NamedTuple

import numpy as np
import torch

# How far numbers may be apart, relative to the size of such numbers (root mean square).
ROUNDING = 1e-4  # float32 in tensors of other shapes: other kernels and orders of addition, some ten layers deep, reach 1e-5
SAME_SHAPES = 1e-6  # the same operations on tensors of the same shapes


class Reading(NamedTuple):
    """The states and logits that a model makes of one utterance, without padding.

    states:     (N, C) that the decoder reads.
    logits:     (U, V) of its text.
    ctc_logits: (S, V + 1) of the labels, with CTC.
    segments:   (S,) number of the segment of each state before compression, with compression.
    """

    states: torch.Tensor
    logits: torch.Tensor
    ctc_logits: torch.Tensor | None
    segments: torch.Tensor | None


@torch.no_grad()
def read(model, src_tokens, src_lengths, prev_output_tokens, num_tokens) -> list[Reading]:
    """The readings of the utterances of a batch: filterbanks (B, T, 80), their lengths (B,), shifted texts (B, U), their lengths (B,)."""
    speech = model.encoder(src_tokens, src_lengths)
    logits, _ = model.decoder(prev_output_tokens, encoder_out=speech)
    readings = []
    for row, (num_states, length) in enumerate(zip((~speech.padding).sum(1).tolist(), num_tokens.tolist())):
        ctc_logits = segments = None
        if speech.ctc is not None:
            ctc_logits = speech.ctc.logits[row, : speech.ctc.lengths[row]]
        if speech.segments is not None:
            segments = speech.segments.number[row, : len(ctc_logits)]
        readings.append(Reading(speech.states[row, :num_states], logits[row, :length], ctc_logits, segments))
    return readings


class Distance(NamedTuple):
    """The distance of two readings of the same utterances.

    deviation: the largest of anything that was compared.
    num_ties:  utterances whose states and texts were not compared, for a tie of CTC labels.
    """

    deviation: float
    num_ties: int

    @property
    def note(self) -> str:
        return f"{self.num_ties} not compared beyond CTC: two labels of a state are equally good up to rounding" if self.num_ties else ""


def distance(actual: list[Reading], expected: list[Reading]) -> Distance:
    """The distance of the readings of the same utterances.

    Compression merges states by their best labels. Where rounding turns a tie of labels, borders move without any fault, and what comes
    after is another text's; such utterances are compared up to there.
    """
    deviations, num_ties = [], 0
    for one, other in zip(actual, expected, strict=True):
        if other.ctc_logits is not None:
            deviations.append(deviation(one.ctc_logits, other.ctc_logits))
        if is_tie(one, other):
            num_ties += 1
        else:
            deviations += [deviation(one.states, other.states), deviation(one.logits, other.logits)]
    return Distance(float(np.max(deviations)), num_ties)


def is_tie(one: Reading, other: Reading) -> bool:
    """Whether the utterance is merged in another way only because CTC logits that agree up to rounding have other best labels."""
    if other.segments is None or torch.equal(one.segments, other.segments) or not deviation(one.ctc_logits, other.ctc_logits) <= ROUNDING:
        return False
    return not torch.equal(one.ctc_logits.argmax(-1), other.ctc_logits.argmax(-1))


def deviation(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference, relative to the root mean square of what is expected; inf for another shape, nan for numbers that are none."""
    if actual.shape != expected.shape:
        return float("inf")
    actual, expected = actual.double(), expected.double()
    scale = expected.square().mean().sqrt().clamp(min=torch.finfo(torch.float32).tiny)
    return ((actual - expected).abs().max() / scale).item()
