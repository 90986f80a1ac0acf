"""Translation edit rate with sacreBLEU's statistics of a sentence."""

import functools
from collections.abc import Sequence

import numpy as np
import sacrebleu.metrics

from speechllm_plugin.scoring.metric import Metric, checked
from speechllm_plugin.scoring.sacrebleu_signature import signature
from speechllm_plugin.scoring.share import share

# Sentences whose TER is kept: two systems agree on many, and one pair takes milliseconds. About 50 MB when full.
NUM_PAIRS_KEPT = 2**16
SACREBLEU_TER = sacrebleu.metrics.TER()


@functools.lru_cache(maxsize=NUM_PAIRS_KEPT)
def edits_of_pair(hypothesis: str, reference: str) -> Sequence[float]:
    """Edits (insertions, deletions, substitutions and moves of words), and words of the reference."""
    return SACREBLEU_TER._extract_corpus_statistics([hypothesis], [[reference]])[0]


def _statistics(hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> np.ndarray:
    return np.reshape([edits_of_pair(*pair) for pair in zip(hypotheses, references)], (-1, 2))


TER = Metric("ter", "TER", True, checked(_statistics), share, lambda languages: signature(SACREBLEU_TER))
