"""The measurements of `speechllm bench`, and how they are shown."""
