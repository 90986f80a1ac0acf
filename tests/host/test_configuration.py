"""Configurations of whole commands: values are found without OmegaConf, shards exist, finished trainings are known."""

from pathlib import Path

import pytest
from fairseq.dataclass.configs import FairseqConfig
from omegaconf import OmegaConf

from speechllm_plugin.host.configuration import SECTIONS_OF_HYPOTHESES, check_shard, finished_training, keep_values


def test_kept_values_are_those_of_the_configuration_and_no_longer_looked_up():
    cfg = OmegaConf.structured(FairseqConfig())
    cfg.generation.nbest = 3
    expected = {section: {name: cfg[section][name] for name in cfg[section]} for section in SECTIONS_OF_HYPOTHESES}
    keep_values(cfg)
    for section, values in expected.items():
        assert values and {name: getattr(getattr(cfg, section), name) for name in values} == values
        assert all(name in vars(cfg[section]) for name in values)
    assert cfg.generation.nbest == 3 and cfg.common.cpu is False


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("distributed_training", {"distributed_world_size": 2, "distributed_rank": 5}, "--distributed-rank must be from 0 to 1, .* is 2, but is 5"),
        ("distributed_training", {"distributed_world_size": 2, "distributed_rank": -1}, "but is -1"),
        ("dataset", {"num_shards": 2, "shard_id": 5}, "--num-shards 2 has no effect in fairseq: leave it out; --distributed-world-size N"),
        ("dataset", {"shard_id": 1}, "--shard-id 1 has no effect"),
    ],
)
def test_a_part_that_does_not_exist_is_refused(section, values, message):
    cfg = OmegaConf.structured(FairseqConfig())
    check_shard(cfg)
    cfg[section].update(values)
    with pytest.raises(ValueError, match=message):
        check_shard(cfg)


@pytest.mark.parametrize(
    ("limits", "options", "reason"),
    [
        ({"max_update": 6}, {}, "c/checkpoint_last.pt has 6 updates, and --max-update is 6"),
        ({"max_update": 5, "max_epoch": 9}, {}, "c/checkpoint_last.pt has 6 updates, and --max-update is 5"),
        ({"max_update": 7, "max_epoch": 2}, {}, "c/checkpoint_last.pt has 2 epochs, and --max-epoch is 2"),
        ({"max_update": 7, "max_epoch": 3}, {}, ""),
        ({}, {}, ""),
        ({"max_update": 6}, {"reset_optimizer": True}, ""),
        ({"max_update": 6}, {"reset_dataloader": True}, ""),
        ({"max_update": 6}, {"save_dir": "other"}, ""),
    ],
)
def test_a_training_is_finished_when_its_checkpoint_has_reached_a_limit(limits, options, reason):
    cfg = OmegaConf.structured(FairseqConfig())
    cfg.checkpoint.update({"save_dir": "c"} | options)
    cfg.optimization.update(limits)
    state = {"optimizer_history": [{"num_updates": 3}, {"num_updates": 6}], "extra_state": {"train_iterator": {"epoch": 3}}}
    assert finished_training(cfg, Path("c/checkpoint_last.pt"), state) == reason
    assert finished_training(cfg, Path("c/checkpoint_last.pt"), {}) == ""
