"""A warning of transcripts that CTC cannot emit: their loss is 0, which looks as if they were learnt."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch

from speechllm_plugin.data.ctc_length import states_of_transcripts
from speechllm_plugin.data.speech_dataset import SpeechRows
from speechllm_plugin.text.listing import first_few

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 10_000  # as whole numbers of 64 bits, the ids of millions of transcripts take gigabytes


def warn(split: str, rows: SpeechRows, transcripts: Sequence[np.ndarray], num_states: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Name utterances with too few states for their transcripts.

    Args:
        transcripts: (W,) token ids of each row.
        num_states: frames -> states of the CTC head.
    """
    states = num_states(torch.tensor(rows.frames)).numpy()
    blocks = (range(start, min(start + ROWS_AT_ONCE, len(rows))) for start in range(0, len(rows), ROWS_AT_ONCE))
    needed = [states_of_transcripts([transcripts[row] for row in block]) for block in blocks]
    short = np.flatnonzero(np.concatenate(needed) > states)
    if len(short):
        logger.warning(
            f"{split}: {len(short):,} of {len(rows):,} transcripts need more labels and blanks than CTC has states, so that it learns nothing from "
            f"them (ctc_impossible in the log): {first_few([rows.ids[row] for row in short.tolist()])}"
        )
