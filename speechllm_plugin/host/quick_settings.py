"""Settings of a command, read as often as fairseq reads them: some 60 in every update, each of them 9 µs with OmegaConf."""

import functools
from types import NoneType
from typing import Any

from omegaconf import DictConfig

PLAIN_TYPES, KEYS_AS_ATTRIBUTES = {int, float, bool, NoneType}, (Any, str)


def read_quickly() -> None:
    """Let `cfg.section.name` return a plain value, or a section, as it stands there; whatever is to be resolved or refused is left to OmegaConf."""
    of_omegaconf = DictConfig.__getattr__

    @functools.wraps(of_omegaconf)
    def setting(self: DictConfig, key: str) -> Any:
        own = vars(self)
        content = own.get("_content")
        if type(content) is dict and own["_metadata"].key_type in KEYS_AS_ATTRIBUTES and key in content:
            node = content[key]
            value = vars(node).get("_val", node)
            if type(value) in PLAIN_TYPES or type(value) is str and "${" not in value and value != "???":
                return value
            if value is node and type(vars(node).get("_content")) in (dict, list):
                return node
        return of_omegaconf(self, key)

    DictConfig.__getattr__ = setting  # type: ignore[method-assign]
