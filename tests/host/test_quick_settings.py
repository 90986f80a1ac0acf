"""Settings are those that OmegaConf reads, errors included."""

import copy
import pickle
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Optional

import pytest
from fairseq.dataclass.configs import FairseqConfig
from omegaconf import MISSING, DictConfig, OmegaConf, errors

of_omegaconf = DictConfig.__getattr__.__wrapped__


class Colour(Enum):
    RED = 1


@dataclass
class Odd:
    number: int = 3
    real: float = 0.5
    flag: bool = True
    none: Optional[int] = None
    text: str = "plain"
    path: Path = Path("a/b")
    raw: bytes = b"raw"
    colour: Colour = Colour.RED
    missing: str = MISSING
    reference: str = "${text}-${oc.env:NOWHERE,else}"
    escaped: str = r"\${text}"
    to_section: Any = "${shares}"
    shares: dict[str, int] = field(default_factory=lambda: {"one": 1})
    by_colour: dict[Colour, int] = field(default_factory=lambda: {Colour.RED: 1})
    by_number: dict[int, str] = field(default_factory=lambda: {1: "one"})
    numbers: list[int] = field(default_factory=lambda: [1, 2])
    no_section: Optional[dict[str, int]] = None


def read(read_one, cfg, name):
    """Value and its type, or the error."""
    try:
        value = read_one(cfg, name)
    except Exception as error:
        return type(error), str(error)
    return value, type(value), id(value) if OmegaConf.is_config(value) else None


def assert_same_settings(cfg):
    for name in [*map(str, cfg), "absent", "RED", "1"]:
        assert read(getattr, cfg, name) == read(of_omegaconf, cfg, name), name
        if isinstance(section := read(getattr, cfg, name)[0], DictConfig):
            assert_same_settings(section)


@pytest.mark.parametrize("make", [FairseqConfig, Odd])
@pytest.mark.parametrize("is_struct", [False, True])
def test_settings_are_those_of_omegaconf(make, is_struct):
    structured = OmegaConf.structured(make())
    for cfg in (structured, OmegaConf.create({name: structured._get_node(name) for name in structured}), copy.deepcopy(structured)):
        OmegaConf.set_struct(cfg, is_struct)
        assert_same_settings(cfg)


def test_changes_show_at_once_and_what_is_wrong_is_an_error():
    cfg = OmegaConf.structured(Odd)
    assert (cfg.number, cfg.flag, cfg.none, cfg.text, cfg.shares.one) == (3, True, None, "plain", 1)
    cfg.number, cfg["text"], cfg.none, cfg.shares.one = 4, "${number}", 5, 6
    OmegaConf.update(cfg, "real", 0.25)
    cfg.merge_with({"flag": False})
    cfg.numbers.append(3)
    assert (cfg.number, cfg.text, cfg.none, cfg.shares.one, cfg.real, cfg.flag) == (4, "4", 5, 6, 0.25, False) and cfg.numbers[2] == 3
    assert cfg.colour is Colour.RED and cfg.by_colour.RED == 1 and cfg.to_section.one == 6 and cfg.no_section is None
    del cfg.shares.one
    with pytest.raises(errors.ConfigAttributeError):
        assert cfg.absent
    with pytest.raises(errors.ConfigAttributeError):
        assert cfg.shares.one
    with pytest.raises(errors.MissingMandatoryValue):
        assert cfg.missing
    assert_same_settings(cfg)
    assert_same_settings(pickle.loads(pickle.dumps(cfg)))
