"""The rules by which a step of the search scores and picks continuations: functions of tensors, with no wait for the device.

Shapes: B sentences   K hypotheses per sentence   C candidates per sentence   V vocabulary.
"""

import math
from typing import Any

import torch
from torch import Tensor


class StepBias:
    """The numbers that the rules for single tokens and for the length add to the log-probabilities in each step.

    pad is impossible always, eos before `min_len`, all but eos at `max_len`; a prefix may be shorter than `min_len`: fairseq's rule.
    """

    def __init__(self, rules: Any, max_len: int, num_forced: int, device: torch.device):
        # Built where it is used: the host would wait for a copy to the device, behind all work that it has submitted.
        bias = torch.zeros(3, rules.vocab_size, device=device)
        bias[:, rules.unk] = -rules.unk_penalty
        too_short, free, longest = 0, 1, 2
        bias[too_short, rules.eos] = -math.inf
        bias[longest] = bias[longest].where(torch.arange(rules.vocab_size, device=device) == rules.eos, -math.inf)
        bias[:, rules.pad] = -math.inf
        steps = torch.arange(max_len + 1, device=device)
        kind = torch.where((steps < rules.min_len) & (steps >= num_forced), too_short, free)
        kind[max_len] = longest
        self.bias, self.kind = bias, kind

    def at(self, step: Tensor) -> Tensor:
        """The (1, V) numbers to add in a step (1,)."""
        return self.bias.index_select(0, self.kind.index_select(0, step))


def log_probabilities(logits: list[Tensor], temperature: float) -> Tensor:
    """The (B, K, V) float32 log probabilities of one model, or of the mean of several. NaN becomes impossible."""
    if temperature != 1:
        logits = [model_logits / temperature for model_logits in logits]
    each = [torch.log_softmax(model_logits, dim=-1, dtype=torch.float32) for model_logits in logits]
    mean = each[0] if len(each) == 1 else torch.logsumexp(torch.stack(each), dim=0) - math.log(len(each))
    return mean.nan_to_num_(nan=-math.inf, posinf=math.inf, neginf=-math.inf)


def allow_only(log_probs: Tensor, token: Tensor) -> Tensor:
    """The log_probs (B, K, V) with every token impossible but the sentence's own one, `token` (B,)."""
    index = token[:, None, None].expand(-1, log_probs.size(1), 1)
    return torch.full_like(log_probs, -math.inf).scatter(2, index, log_probs.gather(2, index))


def copy_first_beam(tensor: Tensor, sentences: Tensor) -> Tensor:
    """The tensor (B, K, any) where all hypotheses of the `sentences` (B,) marked True equal their first one."""
    return torch.where(sentences[:, None, None], tensor[:, :1], tensor)


def block_repeated_ngrams(log_probs: Tensor, tokens: Tensor, step: Tensor, size: int, pad: int) -> Tensor:
    """Forbid, in place, the tokens that would complete an n-gram of `size` already in `tokens` (B, K, any), up to `step` (1,).

    Returns `log_probs` (B, K, V).

    The start token counts as a part of the text, as in fairseq's CUDA extension; not for unigrams, where it would forbid eos.
    fairseq's own Python version compares with the end of its padded buffer and blocks nothing, so this equals the extension.
    """
    if tokens.size(2) < size:
        return log_probs
    ngrams = tokens.unfold(2, size, 1)  # (B, K, any - size + 1, size)
    start = torch.arange(ngrams.size(2), device=tokens.device)
    is_text = start + size - 1 <= step
    if size == 1:
        is_text &= start > 0
    suffix = tokens.index_select(2, (step + torch.arange(2 - size, 1, device=tokens.device)).clamp(min=0))
    is_repeated = (ngrams[..., :-1] == suffix[:, :, None]).all(dim=-1) & is_text
    # pad is impossible already: what is not repeated may point there.
    return log_probs.scatter_(2, torch.where(is_repeated, ngrams[..., -1], pad), -math.inf)


def best_candidates(scores: Tensor, num_candidates: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuations of each sentence, best first: their scores, tokens and source beams, each (B, C).

    Args:
        scores: (B, K, V) of every continuation of every hypothesis.
        num_candidates: at most; one continuation is always left out, since pad is never chosen.
    """
    vocab_size = scores.size(2)
    flat = scores.flatten(1)
    best, index = flat.topk(min(num_candidates, flat.size(1) - 1))
    return best, index % vocab_size, index // vocab_size
