"""Files as such: written whole or not at all, rows of TSV, checkpoints, remembered options."""
