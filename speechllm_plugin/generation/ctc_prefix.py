"""CTC's opinion of the texts of a beam search: the probability that the speech begins with a text, for many texts at once.

The forward variables of a text are sums over time, so that all states come at once by cumulative sums: no loop over time, no wait for the
device. Double precision, as the sums of log probabilities over an utterance are large and their differences count.

Source: Watanabe et al. 2017, Hybrid CTC/Attention Architecture for End-to-End Speech Recognition, section IV-B, algorithm 2.

Shapes: B sentences   K hypotheses per sentence   C candidates per hypothesis   S speech states   V target types   L transcript types.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CANDIDATES_PER_BEAM = 3  # what CTC is asked about; Watanabe et al. 2017's toolkit takes half as many
LOG_ZERO = -1e5  # below any probability of an utterance, and finite: impossible texts keep an order
SILENT = -1


class CTCPrefixScorer:
    """Keeps, per hypothesis, the log probability that the first t states say exactly its text and end with its last label, or with blanks.

    Args:
        logits: (B, S, L + 1), the blank last.
        lengths: (B,) states of each sentence.
        labels: (V,) label of every target token; SILENT for one that is not spoken, as a tag of the language.
        eos: the target token that ends a text.
        num_hypotheses: K.
    """

    def __init__(self, logits: Tensor, lengths: Tensor, labels: Tensor, eos: int, num_hypotheses: int):
        num_sentences, num_states, num_labels = logits.shape
        self.logits = logits.transpose(1, 2).contiguous()  # (B, L + 1, S): the states of a label are read together
        self.labels, self.eos = labels, eos
        self.log_total = logits.float().logsumexp(-1)  # (B, S)
        self.is_padding = torch.arange(num_states, device=lengths.device) >= lengths[:, None]
        blank = (logits[..., num_labels - 1].double() - self.log_total).masked_fill(self.is_padding, 0)
        self.blank = torch.nn.functional.pad(blank.cumsum(1), (1, 0))[:, None]  # (B, 1, S + 1): of blanks only, up to t
        shape = (num_sentences, num_hypotheses, num_states + 1)
        self.ends_with_blank = self.blank.repeat(1, num_hypotheses, 1)
        self.ends_with_label = torch.full_like(self.ends_with_blank, LOG_ZERO)
        self.prefix = self.blank.new_zeros(shape[:2])  # (B, K) that the speech begins with the text
        self.last = torch.full(shape[:2], SILENT, device=logits.device)

    def score(self, candidates: Tensor) -> Tensor:
        """The (B, K, C) log probability of each candidate token after the text of its hypothesis; eos: that nothing follows."""
        label = self.labels[candidates]
        after_all = torch.logaddexp(self.ends_with_label, self.ends_with_blank)
        # A label that the text ends with already is another one only after a blank.
        is_repeated = (label == self.last[..., None])[..., None]
        before = torch.where(is_repeated, self.ends_with_blank[:, :, None, :-1], after_all[:, :, None, :-1])  # (B, K, C, S)
        longer = (before + self.label_scores(label)).logsumexp(-1)
        longer = torch.where(candidates == self.eos, after_all[..., -1:], longer)
        return torch.where(label == SILENT, 0, longer - self.prefix[..., None])

    def advance(self, source_beam: Tensor, token: Tensor) -> None:
        """Hypothesis k becomes hypothesis source_beam[b, k] followed by token[b, k]; both (B, K)."""
        index = source_beam[..., None].expand_as(self.ends_with_blank)
        old_label, old_blank = self.ends_with_label.gather(1, index), self.ends_with_blank.gather(1, index)
        old_last, old_prefix = self.last.gather(1, source_beam), self.prefix.gather(1, source_beam)
        label = self.labels[token]
        after_all = torch.logaddexp(old_label, old_blank)
        before = torch.where((label == old_last)[..., None], old_blank, after_all)[..., :-1]  # (B, K, S)
        scores = self.label_scores(label)
        new_label = recurrence(before, torch.nn.functional.pad(scores.cumsum(-1), (1, 0)))
        new_blank = recurrence(new_label[..., :-1], self.blank)
        is_silent = label == SILENT
        self.ends_with_label.copy_(torch.where(is_silent[..., None], old_label, new_label))
        self.ends_with_blank.copy_(torch.where(is_silent[..., None], old_blank, new_blank))
        self.prefix.copy_(torch.where(is_silent, old_prefix, (before + scores).logsumexp(-1)))
        self.last.copy_(torch.where(is_silent, old_last, label))

    def label_scores(self, label: Tensor) -> Tensor:
        """(B, K, ...) labels -> (B, K, ..., S) their log probabilities in every state."""
        flat = label.clamp(min=0).flatten(1)
        sentence = torch.arange(len(flat), device=flat.device)[:, None]
        scores = self.logits[sentence, flat].double() - self.log_total[:, None]  # (B, K * ..., S)
        return scores.masked_fill(self.is_padding[:, None], LOG_ZERO).view(*label.shape, -1)

    def select(self, sentences: Tensor) -> None:
        """Keep the given sentences, a (B',) list of rows, in this order."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and name != "labels":
                setattr(self, name, value[sentences])


def recurrence(added: Tensor, total: Tensor) -> Tensor:
    """(..., S + 1) r with r[0] impossible and r[t] = log(exp(r[t - 1]) + exp(added[t - 1])) + total[t] - total[t - 1], in log space.

    Args:
        added: (..., S).
        total: (..., S + 1) cumulative scores of the states, from 0.
    """
    later = total[..., 1:] + torch.logcumsumexp(added - total[..., :-1], dim=-1)
    return torch.nn.functional.pad(later, (1, 0), value=LOG_ZERO)


@dataclass
class JointDecoding:
    """The share of CTC in a search.

    Args:
        weight: of its log probabilities, at least 0 and below 1; the decoder's have the rest.
        labels: as of CTCPrefixScorer.
    """

    weight: float
    labels: Tensor

    def start(self, ctc: Any, eos: int, num_hypotheses: int) -> "JointScores":
        """The scores of a search over a batch, from its CTC output: logits (B, S, L + 1) and lengths (B,). The labels stay on its device."""
        self.labels = self.labels.to(ctc.logits.device)
        scorer = CTCPrefixScorer(ctc.logits, ctc.lengths, self.labels, eos, num_hypotheses)
        return JointScores(scorer, self.weight, CANDIDATES_PER_BEAM * num_hypotheses)


class JointScores:
    """The decoder's log probabilities and CTC's, mixed.

    Args:
        scorer: a CTCPrefixScorer.
        weight: of CTC.
        num_candidates: tokens of each hypothesis, the decoder's best ones, that CTC is asked about; the others are impossible. eos is one of them.
    """

    def __init__(self, scorer: CTCPrefixScorer, weight: float, num_candidates: int):
        self.scorer, self.weight, self.num_candidates = scorer, weight, num_candidates

    def mix(self, log_probs: Tensor, favoured: Tensor) -> Tensor:
        """The (B, K, V) scores of both.

        Args:
            log_probs: (B, K, V) float32 of the decoder, after the rules of the search.
            favoured: the same with what has a share of its own in the scores, such as a bonus; may be `log_probs` itself.
        """
        candidates = favoured.topk(min(self.num_candidates, log_probs.size(2))).indices
        eos = self.scorer.eos
        has_eos = (candidates == eos).any(-1)
        candidates[..., -1] = torch.where(has_eos, candidates[..., -1], eos)
        of_decoder = log_probs.gather(2, candidates)
        mixed = (1 - self.weight) * of_decoder + self.weight * self.scorer.score(candidates).to(of_decoder.dtype)
        if favoured is not log_probs:
            mixed += favoured.gather(2, candidates) - of_decoder
        return torch.full_like(log_probs, -math.inf).scatter(2, candidates, mixed.nan_to_num(nan=-math.inf, neginf=-math.inf))
