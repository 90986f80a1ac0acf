"""This project's search and fairseq's with the same options, and what to compare of their results."""

import torch
from fairseq.sequence_generator import SequenceGenerator
from recurrent_model import NUM_SPECIAL

from speechllm_plugin.generation.beam_search import BeamSearch


def fairseq_generator(models, dictionary, **options):
    """fairseq's generator, blocking n-grams as its CUDA extension does.

    Its Python version takes the end of the padded buffer for the end of the text and blocks nothing; given the text alone, it is right.
    """
    generator = SequenceGenerator(models, dictionary, **options)
    block = generator.repeat_ngram_blocker
    if block is not None:
        block.forward = lambda tokens, log_probs, batch_size, beam_size, step: block._no_repeat_ngram(
            tokens[:, : step + 1], log_probs, batch_size, beam_size, step
        )
    return generator


def beam_search(models, dictionary, **options):
    return BeamSearch(models, dictionary.pad(), dictionary.eos(), dictionary.unk(), len(dictionary), **options)


def assert_same_n_best(actual, expected):
    assert [len(hypotheses) for hypotheses in actual] == [len(hypotheses) for hypotheses in expected]
    for ours, theirs in zip([h for n_best in actual for h in n_best], [h for n_best in expected for h in n_best]):
        assert ours["tokens"].tolist() == theirs["tokens"].tolist()
        torch.testing.assert_close(ours["score"], theirs["score"], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours["positional_scores"], theirs["positional_scores"], atol=1e-5, rtol=1e-5)
        assert ours["alignment"].numel() == ours["attention"].numel() == 0


def compare(models, dictionary, sample, options, **generate_options):
    expected = fairseq_generator(models, dictionary, **options).generate(models, sample, **generate_options)
    actual = beam_search(models, dictionary, **options).generate(models, sample, **generate_options)
    assert_same_n_best(actual, expected)
    return actual


def random_prefix(dictionary, batch_size, allow_eos):
    """(B, P) of unequal lengths, padded; with eos after the second token or later, as fairseq needs."""
    lengths = torch.randint(0, 5, (batch_size,))
    prefix = torch.randint(NUM_SPECIAL, len(dictionary), (batch_size, max(1, int(lengths.max()))))
    for row, length in enumerate(lengths.tolist()):
        prefix[row, length:] = dictionary.pad()
        if allow_eos and length > 1 and row % 2:
            prefix[row, length - 1] = dictionary.eos()
    return prefix
