"""Files as such: written whole or not at all, or growing; rows of TSV, tables, checkpoints, digests, remembered options."""
