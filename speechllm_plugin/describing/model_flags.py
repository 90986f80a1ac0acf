"""The flags in a model file (recipes/models/*.sh), read without a shell and without fairseq."""

from pathlib import Path

from speechllm_plugin.files import shell_arrays


def read_flags(path: Path) -> list[str]:
    """MODEL_ARGS of a model file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it sets no MODEL_ARGS, or holds what is not read as data (see shell_arrays.ACCEPTED).
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such model file; those of the study are in recipes/models")
    flags = shell_arrays.read(path).get("MODEL_ARGS", [])
    if not isinstance(flags, list):
        raise ValueError(f"{path}: MODEL_ARGS must be an array of words, MODEL_ARGS=(--arch ...), but is {flags!r}")
    if not any(flags):
        raise ValueError(f"{path}: sets no flags: it must contain MODEL_ARGS=(--arch ...), as the files in recipes/models do")
    return flags
