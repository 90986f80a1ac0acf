"""The hypotheses that run, and the journal of a search, from which those that ended are read when it is over.

Shapes: B sentences   K hypotheses per sentence   U longest text without eos   E ended hypotheses.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


class RunningBeams:
    """The hypotheses of the sentences that still run; a step changes these tensors in place.

    step:      (1,) number of the step, which is the position of the token that it chooses.
    sentence:  (B,) row in the batch.
    num_ended: (B,) hypotheses that have ended.
    tokens:    (B, K, U + 2), first the start token.
    total:     (B, K) sum of the log-probabilities.
    is_dead:   (B, K) the hypothesis has ended and fills the beam for want of another: the vocabulary is hardly larger than the beam.
    prefix:    (B, P) forced tokens, padded.
    """

    def __init__(self, num_sentences: int, beam_size: int, max_len: int, start_token: int, pad: int, prefix: Tensor | None, device: torch.device):
        rows = (num_sentences, beam_size)
        self.step = torch.zeros(1, dtype=torch.long, device=device)
        self.sentence = torch.arange(num_sentences, device=device)
        self.num_ended = torch.zeros_like(self.sentence)
        self.tokens = torch.full((*rows, max_len + 2), pad, device=device)
        self.tokens[:, :, 0] = start_token
        self.total = torch.zeros(rows, device=device)
        self.is_dead = torch.zeros(rows, dtype=torch.bool, device=device)
        self.prefix = self.tokens.new_empty(num_sentences, 0) if prefix is None else prefix.clone()

    def last_tokens(self) -> Tensor:
        """The (B, K) newest token of each."""
        return self.tokens.index_select(2, self.step)[:, :, 0]

    def continue_with(self, source_beam: Tensor, token: Tensor, total: Tensor, is_dead: Tensor) -> None:
        """Replace every hypothesis by hypothesis `source_beam` of its sentence, followed by `token`; all (B, K)."""
        self.tokens.copy_(self.tokens.gather(1, source_beam[:, :, None].expand_as(self.tokens)))
        self.step += 1
        self.tokens.index_copy_(2, self.step, token[:, :, None])
        self.total.copy_(total)
        self.is_dead.copy_(is_dead)

    def select(self, sentences: Tensor) -> None:
        """Keep the given sentences, a (B',) list of rows."""
        for name in ("sentence", "num_ended", "tokens", "total", "is_dead", "prefix"):
            setattr(self, name, getattr(self, name).index_select(0, sentences))


class Journal:
    """The decisions of each step of a search, for all sentences of the batch; read once, at the end.

    Per step and sentence: `links` (4, K), which are the tokens chosen and the hypotheses that they continue, then which of the best
    candidates end and the hypotheses that these continue; `totals` (2, K), the sums of log-probabilities of both.
    """

    def __init__(self, num_steps: int, num_sentences: int, beam_size: int, device: torch.device):
        self.links = torch.zeros(num_steps, num_sentences, 4, beam_size, dtype=torch.long, device=device)
        self.totals = torch.zeros(num_steps, num_sentences, 2, beam_size, device=device)

    def write(self, beams: RunningBeams, links: list[Tensor], totals: list[Tensor]) -> None:
        """Enter the (B, K) tensors of a step, in the order above."""
        self.links[beams.step, beams.sentence] = torch.stack(links, dim=1)
        self.totals[beams.step, beams.sentence] = torch.stack(totals, dim=1)

    def n_best(self, num_steps: int, eos: int, score: Callable[[Tensor, Tensor], Tensor]) -> list[list[dict[str, Tensor]]]:
        """Per sentence the first K hypotheses that ended within the steps taken, as fairseq returns them, best first, on the CPU.

        `score(total, num_tokens)` makes scores of sums, both (E,).
        """
        token, source_beam, is_ending, ended_beam = self.links[:num_steps].cpu().unbind(2)  # (U + 1, B, K) each
        total, ended_total = self.totals[:num_steps].cpu().unbind(2)
        _, num_sentences, beam_size = token.shape
        is_ending = is_ending.transpose(0, 1).flatten(1)  # (B, (U + 1) * K), in order of ending
        is_kept = is_ending.bool() & (is_ending.cumsum(1) <= beam_size)
        sentence, place = is_kept.nonzero().unbind(1)  # (E,)
        step, rank = place // beam_size, place % beam_size

        # From the end of each to its start: which row of (B * K) it was after each step.
        row = (sentence * beam_size + ended_beam[step, sentence, rank]).numpy()
        source_row = (source_beam + torch.arange(num_sentences)[:, None] * beam_size).flatten(1).numpy()
        rows, last_step = np.tile(row, (num_steps, 1)), step.numpy()
        for position in range(num_steps - 2, -1, -1):
            rows[position] = row
            row = np.where(position < last_step, source_row[position, row], row)
        index = torch.from_numpy(rows)
        tokens, totals = token.flatten(1).gather(1, index), total.flatten(1).gather(1, index)  # (U + 1, E)
        ended = torch.arange(len(step))
        tokens[step, ended], totals[step, ended] = eos, ended_total[step, sentence, rank]
        token_scores = totals.diff(dim=0, prepend=torch.zeros_like(totals[:1]))

        is_text = (torch.arange(num_steps) <= step[:, None]).flatten()
        lengths = (step + 1).tolist()
        texts = [tensor.t().flatten()[is_text].split(lengths) for tensor in (tokens, token_scores)]
        scores = score(totals[step, ended], step + 1)
        nothing = torch.empty(0)
        fields = zip(texts[0], scores, texts[1])
        hypotheses = [
            {"tokens": text, "score": one, "attention": nothing, "alignment": nothing, "positional_scores": each} for text, one, each in fields
        ]
        first, n_best = 0, []
        for number in is_kept.sum(1).tolist():
            # Sorted as fairseq sorts, which is not stable: equal scores come in the same order as there.
            order = scores[first : first + number].sort(descending=True).indices.tolist()
            n_best.append([hypotheses[first + index] for index in order])
            first += number
        return n_best
