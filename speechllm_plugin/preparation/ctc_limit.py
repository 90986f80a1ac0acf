"""Transcripts that CTC cannot emit, as far as a corpus tells: the models differ in how many frames become a state."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speechllm_plugin.data.ctc_length import states_of_transcripts
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.preparation import vocabulary
from speechllm_plugin.text.listing import first_few
from speechllm_plugin.text.white_space import with_single_blanks

FRAMES_PER_STATE = 4  # of the models in recipes/models: --conv-kernel-sizes has two sizes, each of which halves the frames


def impossible_transcripts(prefix: str | Path, name: str, utterances: Sequence[Utterance]) -> str:
    """A line on the utterances of a manifest with too few states for CTC to emit their src_text; empty if there is none.

    Args:
        prefix: the vocabulary of the transcripts, without suffix.
        name: of the manifest.
    """
    model = vocabulary.load_model(prefix)
    transcripts = [np.array(ids, dtype=np.int64) for ids in model.encode([with_single_blanks(row.src_text) for row in utterances])]
    needed = states_of_transcripts(transcripts)
    states = -(-np.array([row.n_frames for row in utterances]) // FRAMES_PER_STATE)
    short = np.flatnonzero(needed > states)
    if not len(short):
        return ""
    ids = [f"{utterances[row].id} ({needed[row]} of {states[row]})" for row in short.tolist()]
    return (
        f"{name}: CTC can learn nothing from {len(short):,} of {len(utterances):,} transcripts, which need more labels and blanks than there are "
        f"states of {FRAMES_PER_STATE} frames: {first_few(ids)}"
    )
