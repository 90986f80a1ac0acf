from speechllm_plugin.criterions import ctc_cross_entropy  # noqa: F401
