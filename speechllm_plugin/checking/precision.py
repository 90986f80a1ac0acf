"""The check that a model in bfloat16 says nearly what it says in float32."""

import copy

import torch

from speechllm_plugin.checking.outcome import Outcome
from speechllm_plugin.checking.reading import Reading, read

# bfloat16 has 8 bits, so that each operation adds up to 0.4 %, and the logits of sound models come out 0.5 to 2 % off. What this finds is
# an operation that 16 bits cannot hold: a long sum, a large bias, a finite mask.
DRIFT = 0.05


def bfloat16_drift(subject) -> Outcome:
    """The norm of the change of all logits of the references, relative to theirs, and the same of the CTC logits: the larger of both.

    Where rounding moves a border of CTC compression, the decoder reads other states, and its logits change more without any fault: these
    utterances count by their CTC logits, which say where the borders are, and in the note.
    """
    batch = subject.batch()
    wide, narrow = (
        read(model, **batch["net_input"], num_tokens=batch["target_lengths"])
        for model in (subject.model, copy.deepcopy(subject.model).to(torch.bfloat16))
    )
    alike = [same_borders(one, other) for one, other in zip(narrow, wide)]
    pairs = [(one.logits, other.logits) for one, other, is_alike in zip(narrow, wide, alike) if is_alike]
    drifts = [drift(pairs)] if pairs else []
    if wide[0].ctc_logits is not None:
        drifts.append(drift([(one.ctc_logits, other.ctc_logits) for one, other in zip(narrow, wide)]))
    changed = torch.cat([one.logits.argmax(-1) != other.logits.argmax(-1) for one, other in zip(narrow, wide)])
    note = f"the best token changes at {changed.double().mean():.1%} of {len(changed):,} positions"
    if not all(alike):
        note += f"; borders of CTC compression move in {len(alike) - sum(alike)} of {len(alike)} utterances"
    return Outcome(torch.tensor(drifts).max().item(), DRIFT, note)  # nan if any is


def same_borders(one: Reading, other: Reading) -> bool:
    return other.segments is None or torch.equal(one.segments, other.segments)


def drift(pairs) -> float:
    """The relative norm of the difference of logits (rows, V) from those expected; less their mean, which a softmax does not see."""
    actual, expected = (torch.cat([each.float() - each.float().mean(-1, keepdim=True) for each in logits]) for logits in zip(*pairs))
    return ((actual - expected).norm() / expected.norm()).item()
