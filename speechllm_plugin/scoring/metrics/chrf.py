"""chrF with sacreBLEU's statistics of a sentence; its formula for many sums at once."""

from collections.abc import Sequence

import numpy as np
import sacrebleu.metrics

from speechllm_plugin.scoring.metric import Metric, checked
from speechllm_plugin.scoring.sacrebleu_signature import signature

CHRF_ORDER = 6  # n-grams of 1 to 6 characters
BETA = 2  # how many times as much as precision recall counts
SACREBLEU_CHRF = sacrebleu.metrics.CHRF()


def formula(sums: np.ndarray) -> np.ndarray:
    """chrF2 in percent: the F score of mean precision and mean recall of character n-grams, over the orders that both have.

    Args:
        sums: (..., 3 * CHRF_ORDER): for each order the n-grams of the hypotheses, of the references, and those that match.

    Returns:
        (...), nan where the references have no character.

    Source: Popović 2015, chrF: character n-gram F-score for automatic MT evaluation.
    """
    sums = np.asarray(sums, dtype=np.float64)
    hypothesis, reference, matches = np.moveaxis(sums.reshape(*sums.shape[:-1], CHRF_ORDER, 3), -1, 0)
    counts = (hypothesis > 0) & (reference > 0)
    num_orders = np.maximum(counts.sum(-1), 1)
    precision = np.divide(matches, hypothesis, out=np.zeros_like(matches), where=counts).sum(-1) / num_orders
    recall = np.divide(matches, reference, out=np.zeros_like(matches), where=counts).sum(-1) / num_orders
    both = BETA**2 * precision + recall
    score = 100 * np.divide((1 + BETA**2) * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return np.where(reference[..., 0] > 0, score, np.nan)


def _statistics(hypotheses: Sequence[str], references: Sequence[str], languages: Sequence[str]) -> np.ndarray:
    return np.reshape(SACREBLEU_CHRF._extract_corpus_statistics(hypotheses, [references]), (-1, 3 * CHRF_ORDER))


CHRF = Metric("chrf", "chrF", False, checked(_statistics), formula, lambda languages: signature(SACREBLEU_CHRF))
