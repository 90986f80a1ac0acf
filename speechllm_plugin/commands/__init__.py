"""The commands of `speechllm`: one file each, with their arguments, messages and progress; cli.py finds them."""
