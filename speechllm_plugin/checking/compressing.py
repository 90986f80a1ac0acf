"""CTC compression is what its description says, on the model's own labels."""

import numpy as np
import torch

from speechllm_plugin.checking.outcome import Outcome, not_applicable
from speechllm_plugin.checking.reading import ROUNDING, deviation
from speechllm_plugin.models.merging import slow_compress


@torch.no_grad()
def slow_reference(subject) -> Outcome:
    encoder = subject.model.encoder
    if not encoder.compresses:
        return not_applicable("the model does not compress")
    states, logits, compressed, padding, lengths = seen_at_compression(encoder, subject.batch()["net_input"])
    expected = slow_compress(states, logits, lengths, encoder.cfg)
    deviations = [deviation(row[~is_padding], merged) for row, is_padding, merged in zip(compressed, padding, expected, strict=True)]
    num_states, num_merged = sum(lengths), sum(map(len, expected))
    return Outcome(float(np.max(deviations)), ROUNDING, f"{num_states:,} states become {num_merged:,}")


def seen_at_compression(encoder, net_input):
    """What goes into compression and comes out of it, in the pass that decoding makes.

    Returns:
        (B, S, C) states and (B, S, V + 1) CTC logits before, (B, N, C) states and (B, N) padding after, and the lengths before as numbers.
    """
    seen = {"states": [], "logits": [], "compressed": []}
    after = encoder.layers[encoder.cfg.ctc_layer] if encoder.cfg.ctc_layer < len(encoder.layers) else encoder.norm
    hooks = [  # the head may get the sentences in several parts
        encoder.ctc_head.register_forward_pre_hook(lambda module, inputs: seen["states"].append(inputs[0])),
        encoder.ctc_head.register_forward_hook(lambda module, inputs, output: seen["logits"].append(output)),
        after.register_forward_pre_hook(lambda module, inputs: seen["compressed"].append(inputs[0])),
    ]
    try:
        speech = encoder(net_input["src_tokens"], net_input["src_lengths"], with_ctc=False)
    finally:
        for hook in hooks:
            hook.remove()
    lengths = encoder.subsampling.num_states(net_input["src_lengths"])
    return *(torch.cat(tensors) for tensors in seen.values()), speech.padding, lengths.tolist()
