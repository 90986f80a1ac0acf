"""Beam search whose n-best lists are those of fairseq's SequenceGenerator, for every decoder with start() and step().

The steps of generate() follow fairseq 0.12 in meaning and in order. Nothing in a step loops over sentences or hypotheses.

Shapes: B sentences   K hypotheses per sentence   C candidates per sentence   U longest text without eos   V vocabulary.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from speechllm_plugin.generation.rules import (
    allow_only,
    best_candidates,
    block_repeated_ngrams,
    copy_first_beam,
    log_probabilities,
)

# What this search does not serve, of fairseq-generate's options and its generators' arguments, at the values that change nothing.
NEUTRAL_VALUES = {
    "constraints": None,
    "decoding_format": None,
    "diverse_beam_groups": -1,
    "diversity_rate": -1.0,
    "iter_decode_eos_penalty": 0.0,
    "iter_decode_force_max_iter": False,
    "iter_decode_max_iter": 10,
    "iter_decode_with_beam": 1,
    "iter_decode_with_external_reranker": False,
    "lm_model": None,
    "lm_path": None,
    "match_source_len": False,
    "prefix_allowed_tokens_fn": None,
    "print_alignment": None,
    "print_step": False,
    "retain_iter_history": False,
    "sampling": False,
    "sampling_topk": -1,
    "sampling_topp": -1.0,
    "score_reference": False,
    "search_strategy": None,
    "tokens_to_suppress": (),
}


def unserved_options(args, **generator_arguments) -> list[str]:
    """Names of the options set in `args`, or in the arguments meant for a generator, that BeamSearch does not serve."""

    def is_set(name, neutral):
        values = getattr(args, name, neutral), generator_arguments.get(name, neutral)
        return any(value is not None and value is not False and value != neutral for value in values)

    return [name for name, neutral in NEUTRAL_VALUES.items() if is_set(name, neutral)]


@dataclass
class RunningBeams:
    """The hypotheses of the sentences that still run.

    sentence: (B,) row in the batch.     tokens: (B, K, U + 2), first the start token.     scores: (B, K, U + 1), sums from the start.
    is_dead:  (B, K) the hypothesis has ended and fills the beam for want of another: the vocabulary is hardly larger than the beam.
    prefix:   (B, P) forced tokens, padded.
    """

    sentence: Tensor
    tokens: Tensor
    scores: Tensor
    is_dead: Tensor
    prefix: Tensor

    def select(self, sentences: Tensor) -> "RunningBeams":
        return RunningBeams(*(tensor[sentences] for tensor in vars(self).values()))

    def continue_with(self, step: int, source_beam: Tensor, token: Tensor, score: Tensor, is_dead: Tensor) -> None:
        """Replace every hypothesis by hypothesis `source_beam` of its sentence, followed by `token`; all (B, K)."""
        index = source_beam[:, :, None]
        self.tokens[:, :, : step + 1] = self.tokens[:, :, : step + 1].gather(1, index.expand(-1, -1, step + 1))
        self.scores[:, :, :step] = self.scores[:, :, :step].gather(1, index.expand(-1, -1, step))
        self.tokens[:, :, step + 1], self.scores[:, :, step], self.is_dead = token, score, is_dead


class EndedHypotheses:
    """The first K hypotheses of every sentence that ended, in order of their ending."""

    def __init__(self, num_sentences: int, beam_size: int, max_tokens: int, device: torch.device):
        self.count = torch.zeros(num_sentences, dtype=torch.long, device=device)
        rows = (num_sentences, beam_size + 1)  # the last slot takes what is not kept, so that no shape depends on a value
        self.score = torch.full(rows, -math.inf, device=device)
        self.length = torch.zeros(rows, dtype=torch.long, device=device)
        self.tokens = torch.zeros(*rows, max_tokens, dtype=torch.long, device=device)
        self.token_scores = torch.zeros(*rows, max_tokens, device=device)

    def add(self, sentence: Tensor, is_ending: Tensor, score: Tensor, tokens: Tensor, token_scores: Tensor) -> None:
        """Keep the hypotheses where `is_ending` (B, K), best first; sentence (B,), score (B, K), the others (B, K, length)."""
        surplus, length = self.score.size(1) - 1, tokens.size(2)
        slot = self.count[sentence, None] + is_ending.cumsum(1) - 1
        slot = torch.where(is_ending, slot, surplus).clamp(max=surplus)
        row = sentence[:, None]
        self.score[row, slot], self.length[row, slot] = score, length
        self.tokens[row, slot, :length], self.token_scores[row, slot, :length] = tokens, token_scores
        self.count[sentence] = (self.count[sentence] + is_ending.sum(1)).clamp(max=surplus)

    def n_best(self) -> list[list[dict[str, Tensor]]]:
        """Per sentence its hypotheses as fairseq returns them, best first, on the CPU."""
        score, tokens, token_scores = self.score.cpu(), self.tokens.cpu(), self.token_scores.cpu()
        counts, lengths = self.count.tolist(), self.length.tolist()

        def hypothesis(sentence, slot):
            text = slice(lengths[sentence][slot])
            return {
                "tokens": tokens[sentence, slot, text],
                "score": score[sentence, slot],
                "attention": torch.empty(0),
                "alignment": torch.empty(0),
                "positional_scores": token_scores[sentence, slot, text],
            }

        # Sorted as fairseq sorts, which is not stable: equal scores come in the same order as there.
        orders = [score[row, :count].sort(descending=True).indices.tolist() for row, count in enumerate(counts)]
        return [[hypothesis(row, slot) for slot in order] for row, order in enumerate(orders)]


class BeamSearch:
    """A generator for fairseq's tasks, with the arguments of its SequenceGenerator.

    Args:
        models: put into evaluation mode; the probabilities of several are averaged. Each has `encoder(features, lengths) -> speech`,
            `decoder.start(speech) -> state` and `decoder.step(last_tokens (B, K), state) -> (B, K, V)`; a state has
            `reorder(source_beam (B, K))`, which moves the text, and `select(sentences (B',))`, which keeps these sentences.
        max_len: decoder positions; 0 asks the models.
        symbols_to_strip_from_output: read by fairseq-generate; eos is one of them.
    """

    def __init__(self, models, pad, eos, unk, vocab_size, beam_size=1, max_len_a=0, max_len_b=200, max_len=0, min_len=1,
                 normalize_scores=True, len_penalty=1.0, unk_penalty=0.0, temperature=1.0, no_repeat_ngram_size=0,
                 symbols_to_strip_from_output=None):  # fmt: skip
        for flag, value in (("--beam", beam_size), ("--temperature", temperature)):
            if value <= 0:
                raise ValueError(f"{flag} must be positive, but is {value}")
        self.models = list(models)
        for model in models:
            model.eval()
        self.pad, self.eos, self.unk = pad, eos, unk
        self.beam_size = min(beam_size, vocab_size - 1)  # pad is never chosen
        self.max_len_a, self.max_len_b, self.min_len = max_len_a, max_len_b, min_len
        self.max_len = max_len or min(model.max_decoder_positions() for model in models)
        self.normalize_scores, self.len_penalty, self.unk_penalty = normalize_scores, len_penalty, unk_penalty
        self.temperature, self.no_repeat_ngram_size = temperature, no_repeat_ngram_size
        self.symbols_to_strip_from_output = {*(symbols_to_strip_from_output or ()), eos}

    @torch.no_grad()
    def generate(self, models, sample, prefix_tokens=None, constraints=None, bos_token=None) -> list[list[dict[str, Tensor]]]:
        """N-best list of every sentence.

        Args:
            models: those given at construction are used, as in fairseq.
            sample: batch with net_input {src_tokens (B, T, 80), src_lengths (B,)}.
            prefix_tokens: (B, P) with which the texts begin, padded.
            bos_token: given to the decoder first, instead of eos.

        Raises:
            ValueError: constraints, length limits that exclude each other, or a sentence without any finite score.
        """
        if constraints is not None:
            raise ValueError("BeamSearch serves no constraints: with --constraints fairseq's generator is built, which does")
        features, lengths = sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]
        max_len = self._max_len(features.size(1))
        beams = self._empty_beams(features.size(0), max_len, features.device, prefix_tokens, bos_token)
        ended = EndedHypotheses(features.size(0), self.beam_size, max_len + 1, features.device)
        states = [model.decoder.start(model.encoder(features, lengths)) for model in self.models]

        for step in range(max_len + 1):  # the last step can only end
            logits = [model.decoder.step(beams.tokens[:, :, step], state) for model, state in zip(self.models, states)]
            scores = self._score(log_probabilities(logits, self.temperature), beams, step, max_len)
            # Twice as many as go on, since at most one continuation of each hypothesis is eos.
            score, token, source_beam = best_candidates(scores, 2 * self.beam_size)
            is_ending = token.eq(self.eos) & score.ne(-math.inf)
            is_ending[:, : self.beam_size] &= ~beams.is_dead
            self._end(step, beams, ended, *(tensor[:, : self.beam_size] for tensor in (is_ending, score, source_beam)))
            if step == max_len:
                break
            # Go on with the best candidates that have not ended; ended ones fill the beam only where there are no others.
            is_dead = is_ending.clone()
            is_dead[:, : self.beam_size] |= beams.is_dead
            chosen = is_dead.byte().sort(dim=1, stable=True).indices[:, : self.beam_size]
            survivors = [tensor.gather(1, chosen) for tensor in (source_beam, token, score, is_dead)]
            running = (ended.count[beams.sentence] < self.beam_size).nonzero()[:, 0]  # the only wait for the device
            if len(running) == 0:
                break
            if len(running) < len(beams.sentence):
                beams, survivors = beams.select(running), [tensor[running] for tensor in survivors]
                for state in states:
                    state.select(running)
            beams.continue_with(step, *survivors)
            for state in states:
                state.reorder(survivors[0])

        n_best = ended.n_best()
        if [] in n_best:
            remedy = "check its features, the checkpoint and --prefix-size"
            raise ValueError(f"row {n_best.index([])} of the batch has no hypothesis with a finite score: {remedy}")
        return n_best

    def _max_len(self, num_frames: int) -> int:
        # num_frames is the padded length, so that with --max-len-a the limit depends on the batch: fairseq's rule, and its n-best lists.
        max_len = min(int(self.max_len_a * num_frames + self.max_len_b), self.max_len - 1)
        if self.min_len > max_len:
            limits = f"{max_len} by --max-len-a, --max-len-b and the decoder"
            raise ValueError(f"--min-len must be at most the maximum length ({limits}), but is {self.min_len}")
        return max_len

    def _empty_beams(self, num_sentences, max_len, device, prefix_tokens, bos_token) -> RunningBeams:
        rows = (num_sentences, self.beam_size)
        tokens = torch.full((*rows, max_len + 2), self.pad, device=device)
        tokens[:, :, 0] = self.eos if bos_token is None else bos_token
        return RunningBeams(
            sentence=torch.arange(num_sentences, device=device),
            tokens=tokens,
            scores=torch.zeros(*rows, max_len + 1, device=device),
            is_dead=torch.zeros(rows, dtype=torch.bool, device=device),
            prefix=tokens.new_empty(num_sentences, 0) if prefix_tokens is None else prefix_tokens,
        )

    def _score(self, log_probs: Tensor, beams: RunningBeams, step: int, max_len: int) -> Tensor:
        """(B, K, V) score of every continuation; at the first step (B, 1, V), as all hypotheses are the same."""
        log_probs[:, :, self.pad] = -math.inf
        log_probs[:, :, self.unk] -= self.unk_penalty
        if step >= max_len:
            log_probs = allow_only(log_probs, torch.full_like(beams.sentence, self.eos))
        elif step < beams.prefix.size(1):
            log_probs = self._force_prefix(log_probs, beams, step)
        elif step < self.min_len:  # a prefix may be shorter: fairseq's rule
            log_probs[:, :, self.eos] = -math.inf
        if self.no_repeat_ngram_size > 0:
            log_probs = block_repeated_ngrams(log_probs, beams.tokens[:, :, : step + 1], self.no_repeat_ngram_size, self.pad)
        return log_probs[:, :1] if step == 0 else log_probs + beams.scores[:, :, step - 1, None]

    def _force_prefix(self, log_probs: Tensor, beams: RunningBeams, step: int) -> Tensor:
        """Allow only the prefix where there still is one; where it ends with eos, all beams end as the first, which holds the prefix."""
        token = beams.prefix[:, step]
        log_probs = torch.where(token.eq(self.pad)[:, None, None], log_probs, allow_only(log_probs, token))
        is_end = token.eq(self.eos)
        beams.tokens, beams.scores = copy_first_beam(beams.tokens, is_end), copy_first_beam(beams.scores, is_end)
        return copy_first_beam(log_probs, is_end)

    def _end(self, step, beams, ended: EndedHypotheses, is_ending: Tensor, score: Tensor, source_beam: Tensor) -> None:
        """Move the candidates with `is_ending` to `ended`; all tensors (B, K)."""
        index = source_beam[:, :, None].expand(-1, -1, step + 1)
        tokens = beams.tokens[:, :, 1 : step + 2].gather(1, index)
        sums = beams.scores[:, :, : step + 1].gather(1, index)
        tokens[:, :, step], sums[:, :, step] = self.eos, score
        token_scores = sums.diff(dim=2, prepend=torch.zeros_like(sums[:, :, :1]))
        if self.normalize_scores:
            score = score / (step + 1) ** self.len_penalty
        ended.add(beams.sentence, is_ending, score, tokens, token_scores)
