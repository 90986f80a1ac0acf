"""The search on a GPU, its steps repeated as CUDA graphs, finds what it finds on a CPU; and 16 bits change little."""

import pytest
import torch
from gpu import NEEDS_GPU
from searched_models import GRAPHED_OPTIONS, LENGTHS, SEARCH_OPTIONS, joint_search, make_sample, make_searched_model
from searches import beam_search, fairseq_generator, random_prefix
from tiny_model import ALL_DECODERS, DECODERS, FEW_ENCODERS, task

from speechllm_plugin.models.captured_encoder import capture_encoder

pytestmark = NEEDS_GPU

ALL_OPTIONS = {**SEARCH_OPTIONS, **GRAPHED_OPTIONS, **{f"beam {beam}": {"beam_size": beam} for beam in (1, 2, 5, 13, 20)}}


@pytest.fixture(autouse=True)
def whole_float32():
    """cuDNN's convolutions would use TF32, whose scores differ in the fourth digit."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def on(device, sample):
    return {"net_input": {name: tensor.to(device) for name, tensor in sample["net_input"].items()}}


def assert_equal_on_gpu(models, sample, options, prefix_tokens=None, generator=beam_search):
    """The CPU's n-best lists equal those of the GPU, twice: the second time every graph is captured anew."""
    options = {"max_len_b": 15, "beam_size": 5, **options}
    expected = beam_search(models, task().target_dictionary, **options).generate(models, sample, prefix_tokens=prefix_tokens)
    models = [model.cuda() for model in models]
    search = generator(models, task().target_dictionary, **options)
    prefix = None if prefix_tokens is None else prefix_tokens.cuda()
    for _ in range(2):
        n_best = search.generate(models, on("cuda", sample), prefix_tokens=prefix)
        assert [len(hypotheses) for hypotheses in n_best] == [len(hypotheses) for hypotheses in expected]
        for ours, theirs in zip([each for hypotheses in n_best for each in hypotheses], [each for hypotheses in expected for each in hypotheses]):
            assert ours["tokens"].tolist() == theirs["tokens"].tolist()
            torch.testing.assert_close(ours["positional_scores"].cpu(), theirs["positional_scores"], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(ours["score"].cpu(), theirs["score"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("options", ALL_OPTIONS.values(), ids=ALL_OPTIONS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_n_best_lists_equal_the_cpus(decoder, options):
    for encoder in FEW_ENCODERS:
        assert_equal_on_gpu([make_searched_model(decoder, encoder)], make_sample(), options)


@pytest.mark.parametrize("lengths", [[1], [3, 1, 1], [99, 98, 2, 57, 31, 1, 16]], ids=str)
@pytest.mark.parametrize("decoder", ALL_DECODERS)
def test_odd_batches_equal_the_cpus(decoder, lengths):
    assert_equal_on_gpu([make_searched_model(decoder, ("conformer", "xl", "softmax"))], make_sample(lengths), {})


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_prefixes_equal_the_cpus(decoder):
    prefix = random_prefix(task().target_dictionary, len(LENGTHS), allow_eos=True)
    assert_equal_on_gpu([make_searched_model(decoder)], make_sample(), {}, prefix)


def test_ensembles_equal_the_cpus():
    assert_equal_on_gpu([make_searched_model("xattn"), make_searched_model("dfp", ("conformer", "xl", "avg"))], make_sample(), {})


@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_fairseqs_generator_agrees_on_the_gpu(decoder):
    assert_equal_on_gpu([make_searched_model(decoder)], make_sample(), {}, generator=fairseq_generator)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("compression", ["none", "avg", "softmax", "drop_blank_states"])
def test_a_search_again_has_the_same_bits(compression, dtype):
    """The encoder's first pass runs by operations, the others from graphs."""
    model = make_searched_model("dfp", ("conformer", "xl", compression)).to("cuda", dtype)
    capture_encoder(model)
    search, sample = beam_search([model], task().target_dictionary, beam_size=5, max_len_b=15), on("cuda", make_sample([990, 800, 401, 57]))
    first, *others = [[each["positional_scores"] for best in search.generate([model], sample) for each in best] for _ in range(4)]
    for again in others:
        assert all(torch.equal(one, other) for one, other in zip(again, first, strict=True))


@pytest.mark.parametrize("weight", [0.3, 0.9])
@pytest.mark.parametrize("decoder", ["xattn", "dfp"])
def test_joint_decoding_equals_the_cpus(decoder, weight):
    model, sample = make_searched_model(decoder, ("conformer", "xl", "avg")), make_sample()
    expected = joint_search(model, weight, sample)
    for _ in range(2):
        for ours, theirs in zip(joint_search(model.cuda(), weight, on("cuda", sample)), expected, strict=True):
            assert [each["tokens"].tolist() for each in ours] == [each["tokens"].tolist() for each in theirs]
            for one, other in zip(ours, theirs):
                torch.testing.assert_close(one["score"].cpu(), other["score"], atol=1e-4, rtol=1e-4)
