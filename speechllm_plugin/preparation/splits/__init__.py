"""What is held out of corpora that come without splits: NAME.tsv for each, read by ../readers/split_list.py."""
