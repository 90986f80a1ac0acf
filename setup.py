"""Package speechllm_plugin. All about it, with what it needs, stands as data in pyproject.toml."""

from setuptools import setup

setup()
