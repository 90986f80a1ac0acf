"""Beam search whose n-best lists are those of fairseq's SequenceGenerator, for every decoder with start() and step().

advance() follows a step of fairseq 0.12 in meaning and in order. It works on tensors of fixed shapes in place, loops over neither
sentences nor hypotheses and waits for nothing, so that a GPU repeats it as one CUDA graph; the host only looks, now and then, which
sentences have finished.

Shapes: B sentences   K hypotheses per sentence   C candidates per sentence   U longest text without eos   V vocabulary.
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from speechllm_plugin.generation.ctc_prefix import JointDecoding, JointScores
from speechllm_plugin.generation.cuda_graph import GraphedStep
from speechllm_plugin.generation.hot_words import HotWords, HotWordScores
from speechllm_plugin.generation.hypotheses import Journal, RunningBeams
from speechllm_plugin.generation.rules import (
    StepBias,
    allow_only,
    best_candidates,
    block_repeated_ngrams,
    copy_first_beam,
    log_probabilities,
)
from speechllm_plugin.generation.speech_alignment import Alignment
from speechllm_plugin.generation.weight_places import weight_places

# With graphs: steps between two looks at what has finished, since a look waits for the GPU; the largest share of the sentences that goes on
# without the others, and the positions that the first graph has room for, since another shape needs another graph. Else all of it is free.
STEPS_PER_LOOK, SHARE_TO_GO_ON_WITH, FIRST_ROOM = 4, 0.5, 64


class BeamSearch:
    """A generator for fairseq's tasks, with the arguments of its SequenceGenerator.

    Args:
        models: put into evaluation mode; the probabilities of several are averaged. Each has `encoder(features, lengths, with_ctc) ->
            speech`, `decoder.start(speech, num_hypotheses, max_tokens) -> state` and `decoder.step(last_tokens (B, K), state) ->
            (B, K, V)`; a state has `reserve(num_positions)`, before steps up to this length, `reorder(source_beam (B, K))`, which moves
            the text, and `select(sentences (B',))`, which keeps these sentences.
        max_len: decoder positions; 0 asks the models.
        symbols_to_strip_from_output: read by fairseq-generate; eos is one of them.
        joint: a JointDecoding, whose CTC scores those of the one model are mixed with.
        hot_words: HotWords, whose bonus is a part of all scores.
        alignment: an Alignment, to ask the one model which frames it reads; it has `decoder.attention_to_speech`.
    """

    def __init__(
        self,
        models: Iterable[Any],
        pad: int,
        eos: int,
        unk: int,
        vocab_size: int,
        beam_size: int = 1,
        max_len_a: float = 0,
        max_len_b: int = 200,
        max_len: int = 0,
        min_len: int = 1,
        normalize_scores: bool = True,
        len_penalty: float = 1.0,
        unk_penalty: float = 0.0,
        temperature: float = 1.0,
        no_repeat_ngram_size: int = 0,
        symbols_to_strip_from_output: Iterable[int] | None = None,
        joint: JointDecoding | None = None,
        hot_words: HotWords | None = None,
        alignment: Alignment | None = None,
    ):
        for flag, value in (("--beam", beam_size), ("--temperature", temperature)):
            if value <= 0:
                raise ValueError(f"{flag} must be positive, but is {value}")
        self.models = list(models)
        for model in self.models:
            model.eval()
        self.pad, self.eos, self.unk, self.vocab_size = pad, eos, unk, vocab_size
        self.beam_size = min(beam_size, vocab_size - 1)  # pad is never chosen
        self.max_len_a, self.max_len_b, self.min_len = max_len_a, max_len_b, min_len
        self.max_len = max_len or min(model.max_decoder_positions() for model in self.models)
        self.normalize_scores, self.len_penalty, self.unk_penalty = normalize_scores, len_penalty, unk_penalty
        self.temperature, self.no_repeat_ngram_size = temperature, no_repeat_ngram_size
        self.symbols_to_strip_from_output = {*(symbols_to_strip_from_output or ()), eos}
        self.joint, self.hot_words, self.alignment = joint, hot_words, alignment
        self.graphed_step: GraphedStep | None = None
        self.places: list = []  # of the weights that the kept step reads

    @torch.no_grad()
    def generate(
        self,
        models: Iterable[Any],
        sample: dict[str, Any],
        prefix_tokens: Tensor | None = None,
        constraints: Tensor | None = None,
        bos_token: int | None = None,
        speech: Sequence[Any] | None = None,
    ) -> list[list[dict[str, Tensor]]]:
        """N-best list of every sentence.

        Args:
            models: those given at construction are used, as in fairseq.
            sample: batch with net_input {src_tokens (B, T, 80), src_lengths (B,)}.
            prefix_tokens: (B, P) with which the texts begin, padded.
            bos_token: given to the decoder first, instead of eos.
            speech: what each model's encoder made of the batch, where that is known; with CTC's output if `joint` needs it.

        Raises:
            ValueError: constraints, length limits that exclude each other, or a sentence without any finite score.
        """
        if constraints is not None:
            raise ValueError("BeamSearch serves no constraints: with --constraints fairseq's generator is built, which does")
        features, lengths = sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]
        max_len, device = self._max_len(features.size(1)), features.device
        start_token = self.eos if bos_token is None else bos_token
        if self.graphed_step is None or self.graphed_step.device != device:  # models may move
            self.graphed_step = GraphedStep(device) if device.type == "cuda" else None
        if self.graphed_step is not None and self.places != (places := weight_places(self.models)):
            self.places, self.graphed_step.kept = places, None
        with nullcontext() if self.graphed_step is None else self.graphed_step.on_stream():
            beams = RunningBeams(features.size(0), self.beam_size, max_len, start_token, self.pad, prefix_tokens, device)
            journal = Journal(max_len + 1, features.size(0), self.beam_size, device)
            if speech is None:
                speech = [model.encoder(features, lengths, with_ctc=self.joint is not None) for model in self.models]
            states = [model.decoder.start(each, self.beam_size, max_len + 1) for model, each in zip(self.models, speech)]
            joint = None if self.joint is None else self.joint.start(speech[0].ctc, self.eos, self.beam_size)
            of_first, speech = speech[0], None  # what nobody reads any more need not be kept while the texts grow
            if self.alignment is None:
                del of_first
            hot_words = None if self.hot_words is None else self.hot_words.start(features.size(0), self.beam_size, device)
            num_steps = self._search(beams, journal, states, joint, hot_words, max_len)
            n_best = journal.n_best(num_steps, self.eos, self._final_score)  # waits for the device
            if self.graphed_step is not None:
                self.graphed_step.release()
        if [] in n_best:
            remedy = "check its features, the checkpoint and --prefix-size"
            raise ValueError(f"row {n_best.index([])} of the batch has no hypothesis with a finite score: {remedy}")
        if self.alignment is not None:
            self.alignment.add(n_best, self.models[0], of_first, lengths, start_token, self.pad)
        return n_best

    def drop_kept(self) -> None:
        """Give back the memory that is kept for batches of the shape of the last one."""
        if self.graphed_step is not None:
            self.graphed_step.kept = None

    def _max_len(self, num_frames: int) -> int:
        # num_frames is the padded length, so that with --max-len-a the limit depends on the batch: fairseq's rule, and its n-best lists.
        max_len = min(int(self.max_len_a * num_frames + self.max_len_b), self.max_len - 1)
        if self.min_len > max_len:
            limits = f"{max_len} by --max-len-a, --max-len-b and the decoder"
            raise ValueError(f"--min-len must be at most the maximum length ({limits}), but is {self.min_len}")
        return max_len

    def _search(
        self, beams: RunningBeams, journal: Journal, states: list, joint: JointScores | None, hot_words: HotWordScores | None, max_len: int
    ) -> int:
        """Advance until all sentences have finished; the number of steps taken."""
        num_forced = min(beams.prefix.size(1), max_len)
        bias = StepBias(self, max_len, num_forced, beams.step.device)
        graphed, reserved, repeats_from = self.graphed_step, 0, max(1, num_forced)  # the step after which steps are alike
        # Where a beam is as large as the vocabulary, the first step fills it with what has ended, and is unlike the others.
        resumes_at = num_forced if num_forced or self.beam_size < self.vocab_size - 1 else None
        for step in range(max_len + 1):  # the last step can only end
            if step >= reserved:
                reserved = step + 1 if graphed is None else min(max(FIRST_ROOM, 2 * reserved), max_len + 1)
                for state in states:
                    state.reserve(reserved)
                if graphed is not None:
                    graphed.forget()
            if graphed is not None and step == resumes_at and graphed.resume([beams, journal, states, joint, hot_words, bias, self._captured()]):
                repeats_from = step
                if step == 0:
                    beams.total[:, 1:] = -math.inf  # so that the first step is as the others, and the first hypothesis is enough
            if graphed is None or step < repeats_from:
                self._advance(beams, journal, states, joint, hot_words, bias, is_first=step == 0, is_forced=step < num_forced)
            else:
                graphed(lambda: self._advance(beams, journal, states, joint, hot_words, bias))
            if graphed is None or (step + 1) % STEPS_PER_LOOK == 0:
                running = (beams.num_ended < self.beam_size).nonzero()[:, 0]  # waits for the device
                if len(running) == 0:
                    break
                if len(running) < len(beams.sentence) * (1 if graphed is None else SHARE_TO_GO_ON_WITH):
                    beams.select(running)
                    for state in states + ([joint.scorer] if joint else []) + ([hot_words] if hot_words else []):
                        state.select(running)
                    if graphed is not None:
                        graphed.forget()
        return step + 1

    def _captured(self) -> list:
        """What a captured step was told beside the objects of a search."""
        return [self.temperature, self.no_repeat_ngram_size]

    def _advance(
        self,
        beams: RunningBeams,
        journal: Journal,
        states: list,
        joint: JointScores | None,
        hot_words: HotWordScores | None,
        bias: StepBias,
        is_first: bool = False,
        is_forced: bool = False,
    ) -> None:
        """Choose the next token of every hypothesis; sentences that have finished go on without effect."""
        last_tokens = beams.last_tokens()
        scores = log_probabilities([model.decoder.step(last_tokens, state) for model, state in zip(self.models, states)], self.temperature)
        scores += bias.at(beams.step)
        if is_forced:
            scores, is_end_forced = self._force_prefix(scores, beams)
        if self.no_repeat_ngram_size > 0:
            scores = block_repeated_ngrams(scores, beams.tokens, beams.step, self.no_repeat_ngram_size, self.pad)
        favoured = scores
        if hot_words is not None:
            favoured = hot_words.add_to(scores if joint is None else scores.clone())
        scores = favoured if joint is None else joint.mix(scores, favoured)
        if is_forced and (joint is not None or hot_words is not None):
            scores = copy_first_beam(scores, is_end_forced)
        # At first all hypotheses are the same: those of the first are enough.
        scores = scores[:, :1] if is_first else scores.add_(beams.total[:, :, None])
        # Twice as many as go on, since at most one continuation of each hypothesis is eos.
        total, token, source_beam = best_candidates(scores, 2 * self.beam_size)
        if is_forced:
            source_beam = source_beam.masked_fill(is_end_forced[:, None], 0)

        best = slice(self.beam_size)
        is_ending = token.eq(self.eos) & total.ne(-math.inf)
        is_ending[:, best] &= ~beams.is_dead
        ends_now = is_ending[:, best] & (beams.num_ended < self.beam_size)[:, None]
        beams.num_ended += ends_now.sum(1)
        # Go on with the best candidates that have not ended; ended ones fill the beam only where there are no others.
        is_ending[:, best] |= beams.is_dead
        chosen = is_ending.byte().sort(dim=1, stable=True).indices[:, best]
        go_on = [tensor.gather(1, chosen) for tensor in (source_beam, token, total, is_ending)]
        journal.write(beams, [go_on[1], go_on[0], ends_now.long(), source_beam[:, best]], [go_on[2], total[:, best]])
        beams.continue_with(*go_on)
        for state in states:
            state.reorder(go_on[0])
        if joint is not None:
            joint.scorer.advance(*go_on[:2])
        if hot_words is not None:
            hot_words.advance(*go_on[:2])

    def _force_prefix(self, scores: Tensor, beams: RunningBeams) -> tuple[Tensor, Tensor]:
        """Allow only the prefix where there still is one; where it ends with eos (B,), all beams end as the first, which holds the prefix."""
        token = beams.prefix.index_select(1, beams.step)[:, 0]
        scores = torch.where(token.eq(self.pad)[:, None, None], scores, allow_only(scores, token))
        is_end = token.eq(self.eos)
        beams.tokens.copy_(copy_first_beam(beams.tokens, is_end))
        beams.total.copy_(copy_first_beam(beams.total[:, :, None], is_end)[:, :, 0])
        return copy_first_beam(scores, is_end), is_end

    def _final_score(self, total: Tensor, num_tokens: Tensor) -> Tensor:
        return total / (num_tokens.double() ** self.len_penalty).float() if self.normalize_scores else total
