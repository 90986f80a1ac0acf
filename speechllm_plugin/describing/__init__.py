"""Sizes, masks and operations of a model file: `speechllm describe`."""
