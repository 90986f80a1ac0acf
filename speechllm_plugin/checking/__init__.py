"""Tests of a trained model on real utterances: `speechllm check`."""
