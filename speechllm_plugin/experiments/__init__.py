"""Experiments: what the recipes plan, schedule and tabulate. The stages themselves are shell: recipes/pipeline.sh."""
