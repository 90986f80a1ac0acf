"""The sample rate of a recording as a column of the manifest."""

from pathlib import Path

from speechllm_plugin.data import audio


def rate_of(path: str, root: str | Path) -> str:
    """Hz; empty where the recording cannot be read, which prepare says when it comes to its sound."""
    try:
        return str(audio.length_and_rate(path, root)[1])
    except ValueError:
        return ""
