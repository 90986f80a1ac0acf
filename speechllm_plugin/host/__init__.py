"""All that bends fairseq or torch."""
