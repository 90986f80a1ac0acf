"""The rules by which a step of the search scores and picks continuations: functions of tensors, with no wait for the device.

Shapes: B sentences   K hypotheses per sentence   C candidates per sentence   V vocabulary.
"""

import math

import torch
from torch import Tensor


def log_probabilities(logits: list[Tensor], temperature: float) -> Tensor:
    """(B, K, V) float32: of one model, or the mean probability of several. NaN becomes impossible."""
    each = [torch.log_softmax(model_logits / temperature, dim=-1, dtype=torch.float32) for model_logits in logits]
    mean = each[0] if len(each) == 1 else torch.logsumexp(torch.stack(each), dim=0) - math.log(len(each))
    return torch.nan_to_num(mean, nan=-math.inf, posinf=math.inf, neginf=-math.inf)


def allow_only(log_probs: Tensor, token: Tensor) -> Tensor:
    """`log_probs` (B, K, V) with every token impossible but the sentence's own one, `token` (B,)."""
    index = token[:, None, None].expand(-1, log_probs.size(1), 1)
    return torch.full_like(log_probs, -math.inf).scatter(2, index, log_probs.gather(2, index))


def copy_first_beam(tensor: Tensor, sentences: Tensor) -> Tensor:
    """`tensor` (B, K, any) where all hypotheses of the `sentences` (B,) marked True equal their first one."""
    return torch.where(sentences[:, None, None], tensor[:, :1], tensor)


def block_repeated_ngrams(log_probs: Tensor, tokens: Tensor, size: int, pad: int) -> Tensor:
    """`log_probs` (B, K, V) without the tokens that would complete an n-gram of `size` already in `tokens` (B, K, length).

    The start token counts as a part of the text, as in fairseq's CUDA extension; not for unigrams, where it would forbid eos.
    fairseq's own Python version compares with the end of its padded buffer and blocks nothing, so this equals the extension.
    """
    if size == 1:
        tokens = tokens[:, :, 1:]
    if tokens.size(2) < size:
        return log_probs
    ngrams = tokens.unfold(2, size, 1)  # (B, K, length - size + 1, size)
    suffix = tokens[:, :, tokens.size(2) - size + 1 :]
    is_repeated = (ngrams[..., :-1] == suffix[:, :, None]).all(dim=-1)
    # pad is impossible already: what is not repeated may point there.
    return log_probs.scatter(2, torch.where(is_repeated, ngrams[..., -1], pad), -math.inf)


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
