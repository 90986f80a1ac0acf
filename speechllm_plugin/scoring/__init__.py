"""Scores of hypotheses against the raw references of a manifest; needs neither torch nor fairseq."""
