"""speechllm check: every check finds the defects that it is for, and none that are not there."""

import math
from dataclasses import replace

import pytest
import torch
from checked_models import COMPRESSED, make_subject, statuses
from searched_models import make_searched_model

from speechllm_plugin.checking.checks import CHECKS
from speechllm_plugin.generation import beam_search
from speechllm_plugin.generation.decoder_state import DecoderState
from speechllm_plugin.models import text_decoder
from speechllm_plugin.models.batch_norm import MaskedBatchNorm
from speechllm_plugin.models.compressions import COMPRESSIONS

# What goes wrong -> the checks that see it. Each gets a model and pytest's monkeypatch.
DEFECTS = {}


def defect(*seen_by):
    def register(inject):
        DEFECTS[inject.__name__] = inject, set(seen_by)
        return inject

    return register


@defect("batch", "search")
def states_depend_on_the_number_of_neighbours(model, monkeypatch):
    model.encoder.register_forward_hook(lambda encoder, inputs, speech: speech._replace(states=speech.states * (1 + 0.01 * (len(inputs[0]) > 1))))


@defect("padding")
def garbage_at_padding_reaches_the_states(model, monkeypatch):
    def leak(encoder, inputs, speech):
        features, lengths = inputs[:2]
        beyond = torch.arange(features.size(1)) >= lengths[:, None]
        return speech._replace(states=speech.states + 0.01 * (features[beyond].nan_to_num(1, 1, 1).abs().sum() > 0))

    model.encoder.register_forward_hook(leak)


@defect("batch norm")
def padding_counts_in_batch_norm(model, monkeypatch):
    statistics = MaskedBatchNorm.batch_statistics
    monkeypatch.setattr(MaskedBatchNorm, "batch_statistics", lambda self, x, padding: statistics(self, x, torch.zeros_like(padding)))


@defect("batch", "history", "cache", "search")
def a_mask_is_kept_from_the_longest_text(model, monkeypatch):
    """As in the study's code: a shorter text finds what a longer one left in the cache."""
    longest = [0]

    def cached(decoder, inputs, arguments, output):
        if arguments.get("incremental_state") is None:
            longest[0] = max(longest[0], inputs[0].size(1))
            output[0].add_(torch.arange(output[0].size(2)) % 2, alpha=0.1 * (longest[0] - inputs[0].size(1)))

    model.decoder.register_forward_hook(cached, with_kwargs=True)


@defect("batch", "future text", "search")  # padding is a next token, too
def the_next_token_shows(model, monkeypatch):
    def peek(decoder, inputs, arguments, output):
        if arguments.get("incremental_state") is None:
            output[0][:, :-1].scatter_add_(2, inputs[0][:, 1:, None], torch.full_like(output[0][:, :-1, :1], 0.1))

    model.decoder.register_forward_hook(peek, with_kwargs=True)


@defect("batch", "future text", "future speech", "cache", "search")
def the_text_has_no_causal_mask(model, monkeypatch):
    monkeypatch.setattr(text_decoder, "causal", lambda lengths, device: torch.ones(sum(lengths), sum(lengths), dtype=torch.bool))


@defect("future speech")
def the_causal_prefix_is_none(model, monkeypatch):
    mask = model.decoder.prefix_mask

    def full(padding, lengths):
        num_states = padding.size(1)
        found = mask(padding, lengths).clone()
        found[:, :, :num_states, :num_states] = ~padding[:, None, None]
        return found

    model.decoder.prefix_mask = full


@defect("cache", "search", "fairseq")
def hypotheses_do_not_take_their_text_along(model, monkeypatch):
    monkeypatch.setattr(DecoderState, "reorder", lambda state, source_beam: None)


@defect("cache", "search", "fairseq")
def sentences_get_the_speech_of_others(model, monkeypatch):
    select = DecoderState.select
    monkeypatch.setattr(DecoderState, "select", lambda state, sentences: select(state, sentences.flip(0)))


@defect("compression")
def compression_is_another(model, monkeypatch):
    monkeypatch.setitem(COMPRESSIONS, "avg", replace(COMPRESSIONS["avg"], segments=COMPRESSIONS["fixed"].segments))


@defect("compression")
def states_have_other_weights(model, monkeypatch):
    average = COMPRESSIONS["avg"]
    others = replace(average, segments=lambda logits, *others: (average.segments(logits, *others)[0], logits.amax(-1).sigmoid()))
    monkeypatch.setitem(COMPRESSIONS, "avg", others)


@defect("bfloat16")
def bfloat16_overflows(model, monkeypatch):
    model.decoder.norm.register_forward_hook(lambda norm, inputs, out: out.clamp(max=0.5) if out.dtype == torch.bfloat16 else out)


@defect("search", "fairseq")
def scores_are_not_divided_by_the_length(model, monkeypatch):
    monkeypatch.setattr(beam_search.BeamSearch, "_final_score", lambda self, total, num_tokens: total)


@defect("fairseq")
def the_beam_is_half_as_wide(model, monkeypatch):
    best = beam_search.best_candidates

    def fewer(scores, number):
        total, token, source_beam = best(scores, number)
        total[:, number // 4 : number // 2] = -math.inf
        return total, token, source_beam

    monkeypatch.setattr(beam_search, "best_candidates", fewer)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_seen_by_the_checks_for_it_and_by_no_other(name, monkeypatch):
    inject, seen_by = DEFECTS[name]
    model = make_searched_model("dfp-causal", COMPRESSED)
    inject(model, monkeypatch)
    assert {name for name, status in statuses(make_subject(model)).items() if status == "fail"} == seen_by


def test_every_check_can_fail():
    assert set().union(*(seen_by for _, seen_by in DEFECTS.values())) | {"tags"} == set(CHECKS)  # tags: test_check.py
