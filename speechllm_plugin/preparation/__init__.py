"""From corpora to data folders: `speechllm prepare`."""
