"""Scores of hypotheses against the raw references of a manifest; needs neither torch nor fairseq.

For scripts of others:
    metrics        METRICS: name -> Metric, with .statistics, .formula, .signature and .score
    measuring      measure: the outputs of a system -> its scores, those of some rows, and its comparison with another system
    significance   interval, compare, compare_all
    holm           p values of several tests
    slices         slices_of, DIMENSIONS, Context
    words          word_counts, word_recall, unseen_words
    failures       failures, hallucinations, loops
"""
