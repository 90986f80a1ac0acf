"""Writing a text token by token, and what a token may know of the others."""

import numpy as np
import torch

from speechllm_plugin.checking.outcome import Outcome
from speechllm_plugin.checking.reading import ROUNDING, SAME_SHAPES, deviation

NUM_HYPOTHESES, MIN_STEPS, MAX_STEPS = 3, 8, 40


@torch.no_grad()
def cached_steps(subject) -> Outcome:
    """Hypotheses of random tokens that change places after every step, and a sentence that leaves the batch on the way."""
    model, batch, draw = subject.model, subject.batch(subject.few), torch.Generator().manual_seed(1)
    net_input = batch["net_input"]
    speech = model.encoder(net_input["src_tokens"], net_input["src_lengths"], with_ctc=False)
    num_sentences = len(speech.states)
    num_steps = min(max(int(batch["target_lengths"].max()), MIN_STEPS), MAX_STEPS, model.max_decoder_positions())
    state, kept = model.decoder.start(speech, NUM_HYPOTHESES, num_steps), torch.arange(num_sentences, device=subject.device)
    tokens = torch.full((num_sentences, NUM_HYPOTHESES, 1), subject.dataset.eos, device=subject.device)
    deviations = []
    for step in range(num_steps):
        state.reserve(step + 1)
        logits = model.decoder.step(tokens[:, :, -1], state)  # (B, K, V)
        if (step + 1) & step == 0 or step == num_steps - 1:  # at 1, 2, 4, 8 ... tokens: the whole text each time takes long
            rows = kept.repeat_interleave(NUM_HYPOTHESES)
            whole, _ = model.decoder(tokens.flatten(0, 1), encoder_out=type(speech)(speech.states[rows], speech.padding[rows]))
            deviations.append(deviation(logits, whole[:, -1].view_as(logits)))
        if step == num_steps // 2 and len(kept) > 1:
            chosen = torch.tensor([place for place in range(len(kept)) if place != len(kept) // 2], device=subject.device)
            state.select(chosen)
            kept, tokens = kept[chosen], tokens[chosen]
        source_beam = torch.randint(NUM_HYPOTHESES, tokens.shape[:2], generator=draw).to(subject.device)
        state.reorder(source_beam)
        tokens = tokens.gather(1, source_beam[..., None].expand_as(tokens))
        tokens = torch.cat([tokens, subject.random_tokens((*tokens.shape[:2], 1), draw)], dim=2)
    return Outcome(float(np.max(deviations)), ROUNDING)


@torch.no_grad()
def earlier_text(subject) -> Outcome:
    """Change of the earlier logits when later text changes; also for the shortest alone, after the longest, whose cache must not show it more."""
    model, deviations = subject.model, []
    for positions in (None, [len(subject.examples) - 1]):
        net_input = subject.batch(positions)["net_input"]
        speech = model.encoder(net_input["src_tokens"], net_input["src_lengths"], with_ctc=False)
        tokens = subject.with_later_text(net_input["prev_output_tokens"])
        logits, _ = model.decoder(tokens, encoder_out=speech)
        for first in sorted({1, tokens.size(1) // 2, tokens.size(1) - 1}):
            changed, _ = model.decoder(with_other_tokens(subject, tokens, first), encoder_out=speech)
            deviations.append(deviation(changed[:, :first], logits[:, :first]))
    return Outcome(float(np.max(deviations)), SAME_SHAPES)


def with_other_tokens(subject, tokens, first: int):
    """The (B, U) tokens, all of which from the position `first` on are others."""
    dictionary = subject.task.target_dictionary
    changed = tokens.clone()
    changed[:, first:] = (tokens[:, first:] - dictionary.nspecial + 1) % (len(dictionary) - dictionary.nspecial) + dictionary.nspecial
    return changed
