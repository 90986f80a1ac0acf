from speechllm_plugin.criterions import ctc_cross_entropy, sequence_kd  # noqa: F401
