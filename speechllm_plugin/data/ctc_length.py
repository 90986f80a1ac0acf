"""How long speech must be for CTC to emit a transcript."""

from collections.abc import Sequence

import numpy as np


def states_of_transcripts(transcripts: Sequence[np.ndarray]) -> np.ndarray:
    """(rows,) the fewest states for transcripts (W,) of token ids: one for each label, and a blank between two equal ones.

    Source: Graves et al. 2006, Connectionist Temporal Classification, section 3.
    """
    lengths = np.array([len(ids) for ids in transcripts], dtype=np.int64)
    ends = lengths.cumsum()
    starts = ends - lengths
    ids = np.concatenate(transcripts) if len(transcripts) else np.zeros(0, dtype=np.int64)
    repeats = np.zeros(len(ids), dtype=np.int64)
    repeats[1:] = ids[1:] == ids[:-1]
    repeats[starts[lengths > 0]] = 0
    up_to = np.concatenate([[0], repeats.cumsum()])
    return lengths + up_to[ends] - up_to[starts]
