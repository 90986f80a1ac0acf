"""The readers of corpora: one file each; ../corpora.py has their table."""
