"""Both models under BeamSearch: fairseq's n-best lists, and the speech stored once per sentence whatever the beam."""

import pytest
from searched_models import LENGTHS, SEARCH_OPTIONS, make_sample, make_searched_model
from searches import beam_search, compare, random_prefix
from tiny_model import ALL_DECODERS, DECODERS, FEW_ENCODERS, make_model, task


def compare_with_fairseq(model, options, sample=None, **generate_options):
    options = {"max_len_b": 15, **options}
    return compare([model], task().target_dictionary, sample or make_sample(), options, **generate_options)


@pytest.mark.parametrize("beam_size", [1, 5])
@pytest.mark.parametrize("decoder", ALL_DECODERS)
def test_n_best_lists_equal_fairseqs(decoder, beam_size):
    lengths = set()
    for encoder in FEW_ENCODERS:
        n_best = compare_with_fairseq(make_searched_model(decoder, encoder), {"beam_size": beam_size})
        assert [len(hypotheses) for hypotheses in n_best] == [beam_size] * len(LENGTHS), encoder
        lengths |= {len(hypothesis["tokens"]) for hypotheses in n_best for hypothesis in hypotheses}
    if beam_size > 1:  # over all encoders: what one model of random weights does differs between releases of torch
        assert len(lengths) > 2


@pytest.mark.parametrize("beam_size", [1, 5])
@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
@pytest.mark.parametrize("options", SEARCH_OPTIONS.values(), ids=SEARCH_OPTIONS)
def test_options_act_as_in_fairseq(options, decoder, beam_size):
    compare_with_fairseq(make_searched_model(decoder), {"beam_size": beam_size, **options})


@pytest.mark.parametrize("beam_size", [1, 5])
@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_prefixes_act_as_in_fairseq(decoder, beam_size):
    prefix = random_prefix(task().target_dictionary, len(LENGTHS), allow_eos=True)
    n_best = compare_with_fairseq(make_searched_model(decoder), {"beam_size": beam_size}, prefix_tokens=prefix)
    for forced, hypotheses in zip(prefix, n_best):
        forced = forced[forced != task().target_dictionary.pad()].tolist()
        assert all(hypothesis["tokens"].tolist()[: len(forced)] == forced for hypothesis in hypotheses)


@pytest.mark.parametrize("decoder", DECODERS)
def test_an_utterance_of_one_frame_is_searched_as_in_fairseq(decoder):
    compare_with_fairseq(make_searched_model(decoder, ("conformer", "xl", "softmax")), {"beam_size": 5}, make_sample([1]))


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_two_models_together_equal_fairseqs_ensemble(decoder):
    models = [make_searched_model(decoder), make_searched_model(decoder, ("conformer", "xl", "avg"))]
    compare(models, task().target_dictionary, make_sample(), {"beam_size": 5, "max_len_b": 15})


@pytest.mark.parametrize("decoder", ALL_DECODERS)
def test_n_best_lists_do_not_depend_on_batch_neighbours(decoder):
    model, sample = make_searched_model(decoder, ("conformer", "xl", "avg")), make_sample()
    features, lengths = sample["net_input"].values()
    search = beam_search([model], task().target_dictionary, beam_size=5, max_len_b=15)
    for row, (length, hypotheses) in enumerate(zip(lengths.tolist(), search.generate(None, sample))):
        one = slice(row, row + 1)
        alone = search.generate(None, {"net_input": {"src_tokens": features[one, :length], "src_lengths": lengths[one]}})[0]
        assert [hypothesis["tokens"].tolist() for hypothesis in hypotheses] == [hypothesis["tokens"].tolist() for hypothesis in alone]


@pytest.mark.parametrize("decoder", DECODERS)
def test_speech_is_stored_once_per_sentence_and_never_copied_to_move_the_text(decoder, monkeypatch):
    model, sample, step = make_searched_model(decoder), make_sample(), type(make_model(decoder).decoder).step
    num_states = (57 + 3) // 4
    stored = []

    def watched_step(self, last_tokens, state):
        logits = step(self, last_tokens, state)
        num_slots = beam_size * 16  # for the longest text
        own = (num_slots,) if state.speech else (num_states + num_slots,)
        assert last_tokens.shape == (len(last_tokens), beam_size)
        assert {tensor.shape for pair in state.text for tensor in pair} == {(len(last_tokens), 2, *own, 8)}
        assert {tensor.shape for pair in state.speech for tensor in pair} <= {(len(last_tokens), 2, num_states, 8)}
        stored.append([tensor for pair in (*state.speech, *state.text) for tensor in pair])
        return logits

    monkeypatch.setattr(model.decoder, "step", watched_step.__get__(model.decoder))
    for beam_size in (1, 5, 9):
        stored.clear()
        beam_search([model], task().target_dictionary, beam_size=beam_size, max_len_b=15).generate(None, sample)
        assert len(stored[0]) == 2 * len(model.decoder.layers) * (2 if decoder == "xattn" else 1) and len(stored) > 3
        for before, after in zip(stored, stored[1:]):
            assert before[0] is after[0] or len(after[0]) < len(before[0])
