"""The length and the sample rate that the header of a recording names."""

from pathlib import Path

from speechllm_plugin.data import audio


def header_of(path: str, root: str | Path) -> tuple[int, int]:
    """Number of samples, and Hz; 0 and 0 where the recording cannot be read, which prepare says when it comes to its sound."""
    try:
        return audio.length_and_rate(path, root)
    except ValueError:
        return 0, 0
