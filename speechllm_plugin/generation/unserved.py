"""Options of fairseq-generate that BeamSearch does not serve."""

from typing import Any

# What BeamSearch does not serve, of fairseq-generate's options and its generators' arguments, at the values that change nothing.
NEUTRAL_VALUES = {
    "constraints": None,
    "decoding_format": None,
    "diverse_beam_groups": -1,
    "diversity_rate": -1.0,
    "iter_decode_eos_penalty": 0.0,
    "iter_decode_force_max_iter": False,
    "iter_decode_max_iter": 10,
    "iter_decode_with_beam": 1,
    "iter_decode_with_external_reranker": False,
    "lm_model": None,
    "lm_path": None,
    "match_source_len": False,
    "prefix_allowed_tokens_fn": None,
    "print_step": False,
    "retain_iter_history": False,
    "sampling": False,
    "sampling_topk": -1,
    "sampling_topp": -1.0,
    "score_reference": False,
    "search_strategy": None,
    "tokens_to_suppress": (),
}


def unserved_options(args: Any, **generator_arguments: Any) -> list[str]:
    """Names of the options set in `args`, or in the arguments meant for a generator, that BeamSearch does not serve."""

    def is_set(name: str, neutral: Any) -> bool:
        values = getattr(args, name, neutral), generator_arguments.get(name, neutral)
        return any(value is not None and value is not False and value != neutral for value in values)

    return [name for name, neutral in NEUTRAL_VALUES.items() if is_set(name, neutral)]
