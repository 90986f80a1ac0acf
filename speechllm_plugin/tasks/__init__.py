from speechllm_plugin.tasks import speech_to_text, text_to_text  # noqa: F401
