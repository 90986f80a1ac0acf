"""The table of checks. A new one is a function of a Subject that returns an Outcome, and a line here."""

from collections.abc import Callable
from typing import NamedTuple

from speechllm_plugin.checking import compressing, decoding, invariance, precision, searching
from speechllm_plugin.checking.outcome import Outcome


class Check(NamedTuple):
    """An entry of the table.

    meaning: what is true of a model that passes, in one clause.
    measure: a function of a Subject that returns an Outcome.
    """

    meaning: str
    measure: Callable


class Finding(NamedTuple):
    """The outcome of a check, with its name and meaning in the table."""

    name: str
    meaning: str
    outcome: Outcome


CHECKS = {
    "batch": Check("states, CTC and text logits of an utterance are the same alone and in a batch", invariance.batch_neighbours),
    "padding": Check("frames of nan, inf and large numbers behind an utterance change nothing", invariance.padding),
    "batch norm": Check("in training, padding does not enter the statistics of batch norm", invariance.batch_norm_statistics),
    "history": Check("a longer utterance before leaves nothing behind", invariance.longer_utterance_before),
    "future text": Check("no position of the text sees a later one", decoding.earlier_text),
    "future speech": Check("with a causal prefix, no state in the decoder sees a later one", invariance.earlier_speech),
    "cache": Check("token by token, hypotheses changing places, gives the logits of the whole text", decoding.cached_steps),
    "compression": Check("merged states are those of a plain loop over the CTC labels", compressing.slow_reference),
    "bfloat16": Check("16 bits change the logits of the references little", precision.bfloat16_drift),
    "tags": Check("language tags are forced, stand first, are not learnt and not printed", searching.tags),
    "search": Check("the best text is the same alone and in a batch, and has the score that it claims", searching.batch_or_alone),
    "fairseq": Check("the n-best lists have the scores of fairseq's own search", searching.fairseqs_search),
}


def check(subject, name: str) -> Finding:
    """The finding of a check, by its name in CHECKS; a model that cannot even be run fails."""
    meaning, measure = CHECKS[name]
    try:
        outcome = measure(subject)
    except ValueError as error:  # as from a search in which no score is finite
        outcome = Outcome(float("nan"), 0, str(error))
    except (RuntimeError, IndexError, AssertionError) as error:  # of torch, as for shapes that do not fit
        outcome = Outcome(float("nan"), 0, f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
    return Finding(name, meaning, outcome)
