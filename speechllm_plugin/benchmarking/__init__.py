"""What `speechllm bench` measures, and how it is shown."""
