"""sacreBLEU's formulas of BLEU and chrF, over many sums of statistics at once.

The statistics per sentence are sacreBLEU's own, and so are the scores, to rounding: sacreBLEU computes one sum at a time, in
Python, which takes minutes for the 10,000 sums of a significance test.
"""

import numpy as np

BLEU_ORDER = 4  # n-grams of 1 to 4 words
CHRF_ORDER = 6  # of 1 to 6 characters
CHRF_BETA = 2  # how many times as much as precision recall counts


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU in percent, with sacreBLEU's exponential smoothing.

    Args:
        sums: (..., 2 + 2 * BLEU_ORDER): words of the hypotheses, words of the references, n-grams that match (of 1 word, of 2
            ...), n-grams of the hypotheses.

    Returns:
        (...), nan where the references have no word.

    Source: Papineni et al. 2002, BLEU: a Method for Automatic Evaluation of Machine Translation; Chen and Cherry 2014, A
    Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU (its third method).
    """
    sums = np.asarray(sums, dtype=np.float64)
    length, reference_length = sums[..., 0], sums[..., 1]
    matches, totals = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    # The k-th order without any match counts as 1 / 2^k of one. Without n-grams of some order, or without any match, the score is 0.
    smoothed = np.where(matches > 0, matches, 0.5 ** np.cumsum(matches == 0, axis=-1))
    is_positive = (totals > 0).all(-1) & (matches > 0).any(-1)
    log_precision = np.log(smoothed / np.where(totals > 0, totals, 1)).mean(-1)
    log_brevity = np.minimum(0, 1 - reference_length / np.where(length > 0, length, 1))
    return np.where(reference_length > 0, np.where(is_positive, 100 * np.exp(log_brevity + log_precision), 0.0), np.nan)


def chrf(sums: np.ndarray) -> np.ndarray:
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
    both = CHRF_BETA**2 * precision + recall
    score = 100 * np.divide((1 + CHRF_BETA**2) * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return np.where(reference[..., 0] > 0, score, np.nan)
