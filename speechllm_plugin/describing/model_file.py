"""Model files (recipes/models/*.sh): the architecture and the configuration that MODEL_ARGS=(...), flags for fairseq-train, stand for."""

import argparse
from pathlib import Path

from fairseq.dataclass.utils import gen_parser_from_dataclass

from speechllm_plugin.describing.model_flags import read_flags
from speechllm_plugin.models.config import SpeechToTextConfig, check
from speechllm_plugin.models.registry import architectures

# Flags of training that a model file may hold, as they belong to its comparison; nothing here depends on them.
TRAINING_FLAGS = ("--criterion", "--label-smoothing", "--ctc-weight")


class FlagParser(argparse.ArgumentParser):
    """A parser that raises instead of leaving the program; abbreviations are no flags for fairseq either."""

    def __init__(self):
        super().__init__(add_help=False, allow_abbrev=False)

    def error(self, message):
        raise ValueError(message)


def read(path: Path) -> tuple[str, SpeechToTextConfig]:
    """The architecture's name and the configuration that a model file sets.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read as data, sets no MODEL_ARGS, or these are no flags of our models or contradict each other.
    """
    flags = read_flags(path)
    try:
        return parse(flags)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def parse(flags: list[str]) -> tuple[str, SpeechToTextConfig]:
    """The architecture's name and the configuration, read from the flags as fairseq-train reads them.

    Raises:
        ValueError: an unknown architecture, flag or value, or flags that contradict each other.
    """
    parser = FlagParser()
    parser.add_argument("--arch", required=True, choices=architectures())
    arch = parser.parse_known_args(flags)[0].arch
    config_type = architectures()[arch].config
    gen_parser_from_dataclass(parser, config_type())
    for flag in TRAINING_FLAGS:
        parser.add_argument(flag)
    args, unknown = parser.parse_known_args(flags)
    if unknown:
        raise ValueError(f"{' '.join(unknown)}: no flag of {arch}: correct it, or give it to fairseq-train beside the model file")
    cfg = config_type.from_namespace(args)
    check(cfg)
    return arch, cfg
