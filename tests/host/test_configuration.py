"""What fairseq-generate reads for every hypothesis is found without OmegaConf, and is the same."""

from fairseq.dataclass.configs import FairseqConfig
from omegaconf import OmegaConf

from speechllm_plugin.host.configuration import SECTIONS_OF_HYPOTHESES, keep_values


def test_kept_values_are_those_of_the_configuration_and_no_longer_looked_up():
    cfg = OmegaConf.structured(FairseqConfig())
    cfg.generation.nbest = 3
    expected = {section: {name: cfg[section][name] for name in cfg[section]} for section in SECTIONS_OF_HYPOTHESES}
    keep_values(cfg)
    for section, values in expected.items():
        assert values and {name: getattr(getattr(cfg, section), name) for name in values} == values
        assert all(name in vars(cfg[section]) for name in values)
    assert cfg.generation.nbest == 3 and cfg.common.cpu is False
