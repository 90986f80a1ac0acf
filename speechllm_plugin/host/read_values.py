"""A configuration that is quick to read: fairseq-generate reads some twenty values of it for every hypothesis, each through OmegaConf."""

from omegaconf import DictConfig

SECTIONS_OF_HYPOTHESES = ("generation", "common_eval")


def keep_values(cfg: DictConfig) -> None:
    """Let `cfg.section.name` find today's values as plain attributes; later changes of these sections do not show there."""
    for section in SECTIONS_OF_HYPOTHESES:
        node = cfg[section]
        vars(node).update({name: node[name] for name in node})
        vars(cfg)[section] = node
