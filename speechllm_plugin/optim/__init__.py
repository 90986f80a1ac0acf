"""Optimizers and schedules of the learning rate that fairseq-train can be told to use."""

from speechllm_plugin.optim import flat_adam, linear_to_zero  # noqa: F401
