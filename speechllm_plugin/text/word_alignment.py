"""Word alignments: which word of a hypothesis stands for which word of its reference."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein

CORRECT, SUBSTITUTION, DELETION, INSERTION = OPERATIONS = ("correct", "substitution", "deletion", "insertion")


class Pair(NamedTuple):
    """One step of an alignment."""

    operation: str  # one of OPERATIONS
    reference: int | None  # position of the word in the reference, from 0; None for an insertion
    hypothesis: int | None  # position of the word in the hypothesis, from 0; None for a deletion


def align(reference_words: Sequence[str], hypothesis_words: Sequence[str]) -> list[Pair]:
    """A minimal alignment, in order: every word of both sides is in exactly one pair, and no alignment has fewer pairs that are not correct.

    Several alignments can be minimal. Between two correct words, those words stand for each other whose spelling is most similar, as that
    reads best: of `seventeen` against `um seventy`, `um` is the insertion.
    """
    pairs, reference, hypothesis = [], 0, 0
    for block in Levenshtein.opcodes(reference_words, hypothesis_words).as_matching_blocks():  # the last one is empty and at the end
        pairs += _pairs_of_wrong_words(reference_words, hypothesis_words, range(reference, block.a), range(hypothesis, block.b))
        pairs += [Pair(CORRECT, block.a + offset, block.b + offset) for offset in range(block.size)]
        reference, hypothesis = block.a + block.size, block.b + block.size
    return pairs


def _pairs_of_wrong_words(reference_words: Sequence[str], hypothesis_words: Sequence[str], references: range, hypotheses: range) -> list[Pair]:
    """Pairs of a stretch without a correct word: as many substitutions as the shorter side has words, and the rest of the longer side.

    Whatever words the substitutions take, their number stays the same, so that the alignment stays minimal.
    """
    if len(references) == len(hypotheses):
        return [Pair(SUBSTITUTION, *positions) for positions in zip(references, hypotheses)]
    if not references:
        return [Pair(INSERTION, None, position) for position in hypotheses]
    if not hypotheses:
        return [Pair(DELETION, position, None) for position in references]
    similarity = process.cdist(
        [reference_words[position] for position in references],
        [hypothesis_words[position] for position in hypotheses],
        scorer=Levenshtein.normalized_similarity,
    )
    if len(references) < len(hypotheses):
        partner = dict(zip(_most_similar_in_order(similarity), references))
        return [
            Pair(SUBSTITUTION, partner[index], position) if index in partner else Pair(INSERTION, None, position)
            for index, position in enumerate(hypotheses)
        ]
    partner = dict(zip(_most_similar_in_order(similarity.T), hypotheses))
    return [
        Pair(SUBSTITUTION, position, partner[index]) if index in partner else Pair(DELETION, position, None)
        for index, position in enumerate(references)
    ]


def _most_similar_in_order(similarity: np.ndarray) -> list[int]:
    """An increasing column for every row, with the greatest sum of similarities. similarity: (rows, columns), rows <= columns."""
    rows, columns = similarity.shape
    best = np.zeros(columns + 1)  # best sum of the rows so far within the first 0, 1 ... columns
    takes = np.zeros((rows, columns), dtype=bool)  # whether the row's best choice among the first column + 1 columns is the last of them
    for row in range(rows):
        ending_here = np.full(columns + 1, -np.inf)
        ending_here[1:] = best[:-1] + similarity[row]
        best = np.maximum.accumulate(ending_here)
        takes[row] = ending_here[1:] > best[:-1]
    chosen, column = [], columns - 1
    for row in reversed(range(rows)):
        while not takes[row, column]:
            column -= 1
        chosen.append(column)
        column -= 1
    return chosen[::-1]
