"""The searches that can be measured, each driving the same model to texts of the same length."""

import torch
from fairseq.sequence_generator import SequenceGenerator

from speechllm_plugin.benchmarking.stock_decoder import StockModel
from speechllm_plugin.generation.beam_search import BeamSearch
from speechllm_plugin.generation.rules import block_repeated_ngrams
from speechllm_plugin.models.captured_encoder import capture_encoder

WITH_CTC = "plugin+ctc"  # the plugin's search with the option `joint`


def plugin(model, dictionary, **options):
    capture_encoder(model)
    return model, BeamSearch([model], dictionary.pad(), dictionary.eos(), dictionary.unk(), len(dictionary), **options)


def fairseq(model, dictionary, **options):
    stock = StockModel(model)
    generator = SequenceGenerator([stock], dictionary, **options)
    if options["no_repeat_ngram_size"]:
        generator.repeat_ngram_blocker = NgramBlocker(options["no_repeat_ngram_size"], dictionary.pad())
    return stock, generator


class NgramBlocker(torch.nn.Module):
    """The blocking of repeated n-grams of fairseq's CUDA extension.

    Few installations have it, and the Python version blocks nothing and loops over hypotheses.
    """

    def __init__(self, size: int, pad: int):
        super().__init__()
        self.size, self.pad = size, pad

    def forward(self, tokens, log_probs, batch_size: int, beam_size: int, step: int):
        shape = (batch_size, beam_size, -1)
        at = torch.full((1,), step, device=tokens.device)
        return block_repeated_ngrams(log_probs.view(shape), tokens.view(shape), at, self.size, self.pad).flatten(0, 1)


# name -> function of the model, the dictionary and the generator's options: the model as the search drives it, and the search
SEARCHES = {"plugin": plugin, WITH_CTC: plugin, "fairseq": fairseq}


def options_of(num_tokens: int, beam: int) -> dict:
    """Random weights end a text anywhere: the lengths are fixed, so that every hypothesis has `num_tokens` with its end."""
    return {"beam_size": beam, "min_len": num_tokens - 1, "max_len_b": num_tokens - 1}
