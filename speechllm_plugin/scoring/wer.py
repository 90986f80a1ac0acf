"""Word and character error rates: statistics per sentence, and one formula over the corpus."""

from importlib.metadata import version
from typing import NamedTuple

import editdistance

from speechllm_plugin.scoring.normalise import NORMALISER_VERSION


class Edits(NamedTuple):
    """What one sentence adds to an error rate."""

    distance: int  # fewest substitutions, deletions and insertions from the hypothesis to the reference
    reference_length: int


def word_edits(hypothesis, reference):
    """The edits between two sentences in words, separated by any white space."""
    reference_words = reference.split()
    return Edits(editdistance.eval(hypothesis.split(), reference_words), len(reference_words))


def character_edits(hypothesis, reference):
    """The edits between two sentences in Unicode characters; white space inside counts as one space, outside not."""
    reference = " ".join(reference.split())
    return Edits(editdistance.eval(" ".join(hypothesis.split()), reference), len(reference))


def error_rate(edits):
    """All edits per hundred reference units, over the corpus (long sentences weigh more).

    Args:
        edits: one `Edits` per sentence. A sentence with an empty reference adds its insertions only.

    Raises:
        ValueError: the references of the whole corpus are empty.
    """
    edits = list(edits)
    reference_length = sum(sentence.reference_length for sentence in edits)
    if reference_length == 0:
        raise ValueError(f"an error rate needs reference text, but all {len(edits)} references are empty")
    return 100 * sum(sentence.distance for sentence in edits) / reference_length


def word_error_rate(hypotheses, references):
    """The word error rate of a corpus in percent; more than 100 is possible.

    Args:
        hypotheses: one text per sentence.
        references: as many texts, in the same order.

    Raises:
        ValueError: all references are empty, or there are not as many as hypotheses.
    """
    return error_rate(map(word_edits, *_paired(hypotheses, references)))


def character_error_rate(hypotheses, references):
    """The character error rate of a corpus in percent; arguments and errors as in `word_error_rate`."""
    return error_rate(map(character_edits, *_paired(hypotheses, references)))


def signature(unit, normalised):
    """What a reader needs to compute the same rate, in the manner of sacreBLEU's signatures."""
    text = f"case:lc|punct:no|norm:{NORMALISER_VERSION}" if normalised else "case:mixed|punct:yes|norm:no"
    return f"nrefs:1|{text}|unit:{unit}|version:editdistance-{version('editdistance')}"


def _paired(hypotheses, references):
    if len(hypotheses) != len(references):
        raise ValueError(f"every hypothesis needs its reference, but there are {len(hypotheses)} and {len(references)}")
    return hypotheses, references
