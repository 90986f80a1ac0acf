"""Optimizers that fairseq-train can be told to use."""

from speechllm_plugin.optim import flat_adam  # noqa: F401
