"""Vocabularies of a few texts."""

import re

from speechllm_plugin.preparation import vocabulary


def train_largest(prefix, texts, tags=()):
    """The vocabulary with as many pieces as the texts allow."""
    try:
        vocabulary.train(prefix, texts, 10**6, "--vocab-size", tags)
    except ValueError as error:
        size = re.search(r"at most (\d+)", str(error))[1]
        vocabulary.train(prefix, texts, int(size), "--vocab-size", tags)
