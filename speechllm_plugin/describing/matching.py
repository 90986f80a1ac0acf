"""Sizes of a dense-feature-prepending model that cost as much as a cross-attention model."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import NamedTuple

from speechllm_plugin.models.config import DFPConfig, SpeechToTextConfig, has_encoder_layers

ARCH = "dfp_transformer"
Measure = Callable[[SpeechToTextConfig], int]


class Proposal(NamedTuple):
    """A DFP model, the flags that make it of the cross-attention model's when they are appended, and what it costs.

    `is_smallest`: the size cannot shrink further, whether or not this matches.
    """

    cfg: DFPConfig
    flags: list[str]
    cost: int
    is_smallest: bool = False


def same_sizes(cfg: SpeechToTextConfig, measure: Measure) -> Proposal:
    """The DFP model that the study compares: as many layers, and a causal prefix where there is an encoder."""
    causal_prefix = has_encoder_layers(cfg)
    start = DFPConfig(**asdict(cfg), causal_prefix=causal_prefix)
    return Proposal(start, ["--arch", ARCH, *["--causal-prefix"] * causal_prefix], measure(start))


def proposals(cfg: SpeechToTextConfig, measure: Measure, target: int) -> list[Proposal]:
    """A DFP model for each size that may vary, the others being those of `cfg`; the nearest to the target first.

    Args:
        cfg: of a cross-attention model.
        measure: its parameters or operations, which grow by the same amount with every step of a size.
        target: what to match, in the units of `measure`.
    """
    start, flags, _, _ = same_sizes(cfg, measure)
    # field, smallest size, step
    sizes = [("decoder_ffn_embed_dim", 8, 8), ("decoder_layers", 1, 1)]
    if has_encoder_layers(cfg):
        sizes.append(("encoder_layers", max(cfg.ctc_layer, 1), 1))  # the CTC layer stays where it is
    found = []
    for name, smallest, step in sizes:
        first, second = (measure(replace(start, **{name: smallest + number * step})) for number in (0, 1))
        size = smallest + step * max(0, round((target - first) / (second - first)))
        proposed = replace(start, **{name: size})
        found.append(Proposal(proposed, [*flags, f"--{name.replace('_', '-')}", str(size)], measure(proposed), size == smallest))
    return sorted(found, key=lambda proposal: abs(proposal.cost - target))
