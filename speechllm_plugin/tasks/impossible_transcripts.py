"""A warning of transcripts that CTC cannot emit: their loss is 0, which looks as if they were learnt."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch

from speechllm_plugin.data.ctc_length import states_of_transcripts
from speechllm_plugin.data.manifest import Utterance
from speechllm_plugin.text.listing import first_few

logger = logging.getLogger(__name__)


def warn(split: str, rows: Sequence[Utterance], transcripts: Sequence[np.ndarray], num_states: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Name utterances with too few states for their transcripts.

    Args:
        transcripts: (W,) token ids of each row.
        num_states: frames -> states of the CTC head.
    """
    states = num_states(torch.tensor([row.n_frames for row in rows])).numpy()
    short = np.flatnonzero(states_of_transcripts(transcripts) > states)
    if len(short):
        logger.warning(
            f"{split}: {len(short):,} of {len(rows):,} transcripts need more labels and blanks than CTC has states, so that it learns nothing from "
            f"them (ctc_impossible in the log): {first_few([rows[row].id for row in short.tolist()])}"
        )
