"""The n-best lists of BeamSearch are those of fairseq's SequenceGenerator, which is the oracle; both drive the same small decoder."""

import math
import random
from types import SimpleNamespace

import pytest
import torch
from recurrent_model import (
    MAX_POSITIONS,
    NUM_SPECIAL,
    make_dictionary,
    make_models,
    make_sample,
)
from searches import beam_search, compare, random_prefix
from torch.utils._python_dispatch import TorchDispatchMode

from speechllm_plugin.generation.rules import block_repeated_ngrams, log_probabilities
from speechllm_plugin.generation.unserved import unserved_options


@pytest.mark.parametrize("seed", range(60))
def test_n_best_lists_equal_fairseqs(seed):
    choose = random.Random(seed)
    torch.manual_seed(seed)
    dictionary = make_dictionary(choose.choice([6, 9, 13, 30, 50]))
    batch_size = choose.randint(1, 7)
    options = {
        "beam_size": choose.choice([1, 2, 3, 5, 8, 20]),
        "max_len_a": choose.choice([0, 0, 0.7, 2]),
        "max_len_b": choose.choice([4, 8, 15, 60]),
        "min_len": choose.choice([0, 1, 1, 3]),
        "normalize_scores": choose.random() < 0.8,
        "len_penalty": choose.choice([0, 0.5, 1, 2]),
        "unk_penalty": choose.choice([0, 0, 1.5, -1, math.inf]),
        "temperature": choose.choice([1.0, 0.5, 1.7]),
    }
    models = make_models(dictionary, choose.choice([1, 1, 2, 3]))
    compare(models, dictionary, make_sample(batch_size), options, prefix_tokens=None)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("beam_size", [1, 4, 9])
def test_ngram_blocking_equals_fairseqs(size, beam_size):
    torch.manual_seed(size)
    dictionary = make_dictionary(9)
    options = {"beam_size": beam_size, "min_len": 8, "max_len_b": 25, "no_repeat_ngram_size": size}
    n_best = compare(make_models(dictionary), dictionary, make_sample(3), options)
    for tokens in [hypothesis["tokens"].tolist() for hypotheses in n_best for hypothesis in hypotheses]:
        ngrams = [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]
        assert len(ngrams) == len(set(ngrams))


def test_blocked_unigrams_still_let_the_text_end():
    log_probs, tokens = torch.zeros(1, 1, 7), torch.tensor([[[2, 5, 4, 1, 1]]])
    blocked = block_repeated_ngrams(log_probs, tokens, step=torch.tensor([2]), size=1, pad=1)
    assert blocked.isinf().nonzero()[:, 2].tolist() == [1, 4, 5]  # pad is impossible anyway


@pytest.mark.parametrize("seed", range(24))
def test_prefixes_of_unequal_lengths_equal_fairseqs(seed):
    torch.manual_seed(seed)
    dictionary = make_dictionary(12)
    batch_size = 2 + seed % 4
    prefix = random_prefix(dictionary, batch_size, allow_eos=seed % 2 == 0)
    options = {"beam_size": (1, 3, 5)[seed % 3], "max_len_b": 12, "min_len": seed % 4, "no_repeat_ngram_size": (0, 3)[seed % 2]}
    n_best = compare(make_models(dictionary), dictionary, make_sample(batch_size), options, prefix_tokens=prefix)
    for forced, hypotheses in zip(prefix.tolist(), n_best):
        forced = [token for token in forced if token != dictionary.pad()]
        if options["no_repeat_ngram_size"] == 0:
            assert all(hypothesis["tokens"].tolist()[: len(forced)] == forced for hypothesis in hypotheses)


def test_a_prefix_that_is_only_eos_gives_one_empty_text():
    torch.manual_seed(0)
    dictionary = make_dictionary(12)
    prefix = torch.tensor([[dictionary.eos(), dictionary.pad()], [5, 6]])
    first, second = beam_search(make_models(dictionary), dictionary, beam_size=3, max_len_b=6).generate(None, make_sample(2), prefix)
    assert [hypothesis["tokens"].tolist() for hypothesis in first] == [[dictionary.eos()]]
    assert len(second) == 3


def test_start_token_equals_fairseqs():
    torch.manual_seed(1)
    dictionary = make_dictionary(12)
    compare(make_models(dictionary), dictionary, make_sample(3), {"beam_size": 4, "max_len_b": 10}, bos_token=5)


@pytest.mark.parametrize("beam_size", [4, 5, 20])
def test_beams_as_large_as_the_vocabulary_equal_fairseqs(beam_size):
    torch.manual_seed(beam_size)
    dictionary = make_dictionary(NUM_SPECIAL + 2)
    compare(make_models(dictionary), dictionary, make_sample(4), {"beam_size": beam_size, "max_len_b": 9})


def test_the_decoder_limits_the_length():
    torch.manual_seed(2)
    dictionary = make_dictionary(12)
    models = make_models(dictionary)
    with torch.no_grad():
        models[0].decoder.project.bias[dictionary.eos()] = -20.0
    n_best = compare(models, dictionary, make_sample(2), {"beam_size": 2, "max_len_a": 100, "max_len_b": 7})
    assert {len(hypothesis["tokens"]) for hypotheses in n_best for hypothesis in hypotheses} == {MAX_POSITIONS}


def test_nan_scores_are_impossible():
    logits = torch.tensor([[[0.0, math.nan, 1.0]], [[0.0, 1.0, 2.0]]])
    assert log_probabilities([logits], temperature=1.0)[0].tolist() == [[-math.inf] * 3]
    assert log_probabilities([logits], temperature=1.0)[1].isfinite().all()


def test_finished_sentences_leave_the_batch():
    torch.manual_seed(4)
    dictionary = make_dictionary(9)
    models = make_models(dictionary)
    compare(models, dictionary, make_sample(7), {"beam_size": 2, "max_len_b": 30})
    batch_sizes = models[0].decoder.batch_sizes
    assert batch_sizes == sorted(batch_sizes, reverse=True)
    assert len(set(batch_sizes)) > 2


class WaitCounter(TorchDispatchMode):
    """Counts the operations for which the host would wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.num_waits = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.num_waits += operation._opname in ("nonzero", "_local_scalar_dense", "masked_select", "_unique2", "equal")
        return operation(*args, **(kwargs or {}))


def test_a_step_waits_for_the_device_once():
    torch.manual_seed(6)
    dictionary = make_dictionary(9)
    models, sample = make_models(dictionary), make_sample(7)
    search = beam_search(models, dictionary, beam_size=3, max_len_b=30, no_repeat_ngram_size=3)
    with WaitCounter() as counter:
        search.generate(None, sample, prefix_tokens=torch.full((7, 2), 5))
    assert counter.num_waits <= len(models[0].decoder.batch_sizes) + 1  # and the end


def test_models_are_evaluated_without_dropout_or_gradient():
    dictionary = make_dictionary(9)
    model = make_models(dictionary)[0].train()
    n_best = beam_search([model], dictionary, max_len_b=5).generate(None, make_sample(2))
    assert not model.training
    assert not n_best[0][0]["score"].requires_grad


def test_symbols_to_strip_contain_eos():
    dictionary = make_dictionary(9)
    search = beam_search(make_models(dictionary), dictionary, symbols_to_strip_from_output={7})
    assert search.symbols_to_strip_from_output == {7, dictionary.eos()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "--beam must be positive, but is 0"),
        ({"temperature": 0.0}, "--temperature must be positive, but is 0.0"),
        ({"min_len": 9, "max_len_b": 5}, r"--min-len must be at most the maximum length \(5 by .*\), but is 9"),
    ],
)
def test_wrong_limits_are_refused(options, message):
    dictionary = make_dictionary(9)
    with pytest.raises(ValueError, match=message):
        beam_search(make_models(dictionary), dictionary, **options).generate(None, make_sample(2))


def test_features_without_any_finite_score_are_refused():
    torch.manual_seed(5)
    dictionary = make_dictionary(9)
    sample = make_sample(3)
    sample["net_input"]["src_tokens"][1] = math.nan
    with pytest.raises(ValueError, match="row 1 of the batch has no hypothesis with a finite score"):
        beam_search(make_models(dictionary), dictionary, beam_size=2, max_len_b=5).generate(None, sample)


def test_constraints_are_refused():
    dictionary = make_dictionary(9)
    with pytest.raises(ValueError, match="--constraints"):
        beam_search(make_models(dictionary), dictionary).generate(None, make_sample(2), constraints=torch.zeros(2, 1))


def test_unserved_options_name_what_is_set():
    from fairseq.dataclass.configs import GenerationConfig
    from omegaconf import OmegaConf

    assert unserved_options(OmegaConf.structured(GenerationConfig())) == []
    assert unserved_options(SimpleNamespace(constraints=False, lm_path=None), lm_model=None, lm_weight=0.0) == []
    assert unserved_options(GenerationConfig(sampling=True, diversity_rate=0.0)) == ["diversity_rate", "sampling"]
    assert unserved_options(GenerationConfig(), lm_model=torch.nn.Identity()) == ["lm_model"]
