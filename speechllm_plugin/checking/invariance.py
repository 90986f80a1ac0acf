"""An utterance is read the same whatever else is in its batch: neighbours, padding, and what was read before."""

from contextlib import contextmanager

import numpy as np
import torch

from speechllm_plugin.checking.outcome import Outcome, not_applicable
from speechllm_plugin.checking.reading import ROUNDING, SAME_SHAPES, deviation, distance
from speechllm_plugin.models.batch_norm import LegacyBatchNorm, MaskedBatchNorm

EXTRA_FRAMES = 37  # of padding; no multiple of what subsampling merges
GARBAGE = (1e4, -1e4, float("nan"), float("inf"))


def batch_neighbours(subject) -> Outcome:
    if len(subject.examples) < 2:
        return not_applicable("there is only one utterance")
    found = distance(subject.read(subject.batch()), subject.alone)
    return Outcome(found.deviation, ROUNDING, found.note)


def padding(subject) -> Outcome:
    padded = [subject.read(subject.batch([position], num_extra_frames=EXTRA_FRAMES, garbage=GARBAGE))[0] for position in range(len(subject.examples))]
    found = distance(padded, subject.alone)
    return Outcome(found.deviation, ROUNDING, found.note)


def batch_norm_statistics(subject) -> Outcome:
    """With statistics of the batch, as in training but without dropout: outputs, and the running statistics after it."""
    norms = [module for module in subject.model.modules() if isinstance(module, MaskedBatchNorm)]
    if not norms:
        return not_applicable("the model has no batch norm")
    readings, statistics = zip(*(trained_on(subject, norms, num_extra_frames) for num_extra_frames in (0, EXTRA_FRAMES)))
    found = distance(*readings)
    apart = float(np.max([found.deviation, *(deviation(one, other) for one, other in zip(*statistics))]))
    if isinstance(norms[0], LegacyBatchNorm):
        return not_applicable("--legacy-batch-norm: in training, as in the study's code, padding counts as states of zero", apart)
    return Outcome(apart, ROUNDING, found.note)


def trained_on(subject, norms, num_extra_frames: int):
    """Readings of all utterances in one batch, and the running means and variances that it leaves."""
    with statistics_of_batch(norms):
        readings = subject.read(subject.batch(num_extra_frames=num_extra_frames))
        return readings, [buffer.clone() for norm in norms for buffer in (norm.running_mean, norm.running_var)]


@contextmanager
def statistics_of_batch(norms):
    """Batch norm as in training; the statistics are those from before again afterwards."""
    before = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    try:
        for norm in norms:
            norm.train()
        yield
    finally:
        for norm, buffers in zip(norms, before):
            norm.eval()
            for name, buffer in norm.named_buffers():
                buffer.copy_(buffers[name])


def longer_utterance_before(subject) -> Outcome:
    if len(subject.examples) < 2:
        return not_applicable("there is only one utterance")
    before = subject.batch()
    before["net_input"]["prev_output_tokens"] = subject.with_later_text(before["net_input"]["prev_output_tokens"])
    subject.read(before)
    found = distance(subject.read(subject.batch([len(subject.examples) - 1])), [subject.first])
    return Outcome(found.deviation, SAME_SHAPES, found.note)


@torch.no_grad()
def earlier_speech(subject) -> Outcome:
    """Within the decoder: what a layer makes of the speech up to a state does not depend on the states after it."""
    decoder = subject.model.decoder
    if not getattr(decoder, "causal_prefix", False):
        return not_applicable("--causal-prefix is off: speech may see later speech")
    if len(decoder.layers) < 2:
        return not_applicable("the decoder has one layer, in which no speech sees speech")
    [longest] = [subject.batch([0])["net_input"]]
    speech = subject.model.encoder(longest["src_tokens"], longest["src_lengths"], with_ctc=False)
    num_states = speech.states.size(1)
    if num_states < 2:
        return not_applicable("the longest utterance has one state")
    before, deviations = speech_in_layers(decoder, speech, longest["prev_output_tokens"]), []
    for first in sorted({1, num_states // 2, num_states - 1}):
        states = speech.states.clone()
        states[:, first:] *= -1  # a shift or another order would be lost in LayerNorm and softmax
        after = speech_in_layers(decoder, speech._replace(states=states), longest["prev_output_tokens"])
        deviations += [deviation(new[:, :first], old[:, :first]) for new, old in zip(after, before, strict=True)]
    return Outcome(float(np.max(deviations)), SAME_SHAPES)


def speech_in_layers(decoder, speech, tokens):
    """The (B, N, C) that self-attention brings to the speech in every layer but the last, first in training, then in the start of a search."""
    seen, num_states = [], speech.states.size(1)
    hooks = [
        layer.self_attn.register_forward_hook(lambda module, inputs, output: seen.append(output[0][:, :num_states])) for layer in decoder.layers[:-1]
    ]
    try:
        decoder(tokens, encoder_out=speech)
        decoder.start(speech)
    finally:
        for hook in hooks:
            hook.remove()
    return seen
