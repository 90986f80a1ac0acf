"""Small models whose searches end after a few tokens, a batch for them, and options that change what is found."""

import math

import torch
from searches import beam_search
from tiny_model import NUM_SPECIAL, NUM_TARGET_WORDS, NUM_TRANSCRIPT_WORDS, make_model, make_speech, task

from speechllm_plugin.generation.ctc_prefix import SILENT, JointDecoding

LENGTHS = [57, 40, 22, 1]
SEARCH_OPTIONS = {
    "len_penalty 0": {"len_penalty": 0.0},
    "len_penalty 2": {"len_penalty": 2.0},
    "unnormalised": {"normalize_scores": False},
    "without unk": {"unk_penalty": math.inf},
    "with unk": {"unk_penalty": -2.0},
    "min_len": {"min_len": 6},
    "max_len": {"max_len_a": 0.05, "max_len_b": 2},
    "temperature": {"temperature": 1.5},
    "n-grams": {"no_repeat_ngram_size": 2},
}
GRAPHED_OPTIONS = {
    "beam 1": {"beam_size": 1},
    "beam 20": {"beam_size": 20},
    "n-grams": {"beam_size": 5, "no_repeat_ngram_size": 2},
    "length": {"beam_size": 5, "min_len": 6, "max_len_b": 9},
    "two rooms": {"beam_size": 3, "min_len": 68, "max_len_b": 80, "no_repeat_ngram_size": 3},
    "no text": {"beam_size": 3, "min_len": 0, "max_len_b": 0},
    "temperature": {"beam_size": 5, "temperature": 1.5, "unk_penalty": -2.0},
}


def make_searched_model(decoder, encoder=("transformer", "none", "none")):
    """Ends its texts after a few tokens, at another length in each hypothesis: the end is always among the likely tokens."""
    model = make_model(decoder, encoder)
    with torch.no_grad():
        bias = model.decoder.norm.bias
        model.decoder.output_projection.weight[task().target_dictionary.eos()] = 4 * bias / bias.square().sum()
    return model


def make_sample(lengths=LENGTHS):
    return {"net_input": dict(zip(("src_tokens", "src_lengths"), make_speech(lengths)))}


def make_labels():
    """Target tokens share the few labels; the last one is not spoken."""
    words = NUM_SPECIAL + torch.arange(NUM_TARGET_WORDS) % NUM_TRANSCRIPT_WORDS
    return torch.cat([torch.arange(NUM_SPECIAL), words.index_fill(0, torch.tensor(NUM_TARGET_WORDS - 1), SILENT)])


def joint_search(model, weight, sample=None, prefix=None, labels=None, **options):
    joint = JointDecoding(weight, make_labels() if labels is None else labels) if weight else None
    options = {"beam_size": 5, "max_len_b": 8, "normalize_scores": False, "joint": joint, **options}
    return beam_search([model], task().target_dictionary, **options).generate(None, sample or make_sample(), prefix)


def scores_of_its_own(model, sample, row, tokens):
    """Log probability of a text by the decoder, and by CTC through torch's loss."""
    features, lengths = sample["net_input"]["src_tokens"][row : row + 1], sample["net_input"]["src_lengths"][row : row + 1]
    output = model(features[:, : lengths[0]], lengths, torch.cat([tokens[-1:], tokens[:-1]])[None])
    decoder = output.logits[0].log_softmax(-1).gather(1, tokens[:, None]).sum()
    labels = make_labels()[tokens[:-1]]
    labels = labels[labels != SILENT]
    log_probs = output.ctc.logits[0].log_softmax(-1)[:, None]
    blank = NUM_SPECIAL + NUM_TRANSCRIPT_WORDS
    loss = torch.nn.functional.ctc_loss(log_probs, labels[None], output.ctc.lengths.tolist(), [len(labels)], blank=blank, reduction="sum")
    return decoder.item(), -loss.item()
