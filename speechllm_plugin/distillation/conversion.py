"""Hugging Face translation models in CTranslate2's format: converted on first use, into a cache."""

import os
import re
import shutil
import sys
from pathlib import Path

from speechllm_plugin.distillation import model_families
from speechllm_plugin.files.digests import short_digest

INSTALL = 'pip install -c constraints.txt -e ".[nllb]"'


def libraries():
    """The modules ctranslate2 and transformers.

    Raises:
        ValueError: the extra `nllb` is not installed.
    """
    try:
        import ctranslate2
        import google.protobuf  # noqa: F401  transformers reads SentencePiece models with it, and otherwise goes on with something else
        import sacremoses  # noqa: F401  Marian's tokenizer silently goes without
        import transformers
    except ModuleNotFoundError as error:
        raise ValueError(f"this needs the extra nllb, but {error.name} is not installed: {INSTALL} in the repository") from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return ctranslate2, transformers


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "speechllm" / "ctranslate2"


def read_config(model: str):
    """The configuration of a folder or of a model on the Hugging Face Hub, which is downloaded.

    Raises:
        ValueError: there is no such model, it cannot be reached, or it is of a kind that does not translate here.
    """
    _, transformers = libraries()
    folder = Path(model)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ValueError(f"--model: {folder} must be a Hugging Face model, but has no config.json; give the folder that has it")
    try:
        config = transformers.AutoConfig.from_pretrained(model)
    except (OSError, ValueError) as error:
        what = "cannot be read" if folder.is_dir() else "is no folder, and cannot be had from huggingface.co"
        raise ValueError(
            f"--model: {model} {what} ({one_line(error)}); correct the name, or download it where there is a network and give its folder"
        ) from error
    if config.model_type not in model_families.FAMILIES:
        raise ValueError(
            f"--model: {model} must be of a type that translates ({' '.join(model_families.FAMILIES)}), but is {config.model_type}; choose another"
        )
    return config


def fingerprint(model: str, config) -> str:
    """The version of a model: its commit on the Hub, or a digest of its files' names, sizes and times."""
    if not Path(model).is_dir():
        return config._commit_hash
    files = [(path.name, path.stat()) for path in sorted(Path(model).iterdir()) if path.is_file()]
    return short_digest(f"{name}\t{stat.st_size}\t{stat.st_mtime_ns}\n" for name, stat in files)


def converted(model: str, config, compute_type: str, cache) -> Path:
    """The folder of the converted model, which is made if the cache lacks it; it is complete or not there.

    Raises:
        ValueError: the model's files cannot be read or converted.
    """
    ctranslate2, _ = libraries()
    name = re.sub(r"[^\w.-]+", "--", str(Path(model).resolve().name if Path(model).is_dir() else model))
    folder = Path(cache) / f"{name}-{fingerprint(model, config)[:16]}-{compute_type}"
    if folder.is_dir():
        return folder
    print(f"converting {model} to {folder} (once)", file=sys.stderr)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        converter = ctranslate2.converters.TransformersConverter(model, low_cpu_mem_usage=True)
        converter.convert(str(part), quantization=compute_type, force=True)
        try:
            os.replace(part, folder)
        except OSError:
            if not folder.is_dir():  # another process was faster
                raise
    except Exception as error:  # what a damaged or unusual model makes the libraries raise has no common class
        raise ValueError(f"--model: {model} cannot be converted to {folder} ({one_line(error)}); correct or download it again") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def one_line(error: Exception) -> str:
    """The beginning of an error of the libraries, which may be a page."""
    return " ".join(str(error).split())[:300]
