from speechllm_plugin.tasks import speech_task, text_task  # noqa: F401
