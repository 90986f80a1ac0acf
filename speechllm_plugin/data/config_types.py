"""The keys of config.yaml and the types of their values."""

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from speechllm_plugin.text.one_line import excerpt

logger = logging.getLogger(__name__)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and "\0" not in value


def _is_yes_or_no(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _is_tokenizer(value: Any) -> bool:
    return _is_mapping(value) and all(isinstance(each, (str, int, float, bool, type(None))) for each in value.values())


def _is_transforms(value: Any) -> bool:
    return _is_mapping(value) and all(
        names is None or (isinstance(names, list) and all(isinstance(name, str) for name in names)) for names in value.values()
    )


def _is_masks(value: Any) -> bool:
    return _is_mapping(value) and all(
        each is None or (isinstance(each, (int, float)) and not isinstance(each, bool) and math.isfinite(each)) for each in value.values()
    )


Rule = tuple[str, Callable[[Any], bool]]
_TEXT: Rule = ("a text, in quotes where YAML would take it for something else", _is_text)
_FLAG: Rule = ("true or false", _is_yes_or_no)
_COUNT: Rule = ("a whole number above 0", _is_count)
_MAPPING: Rule = ("a mapping of settings (key: value)", _is_mapping)
_TOKENIZER: Rule = ("a mapping of a tokenizer's settings (name: text or number)", _is_tokenizer)
_TRANSFORMS: Rule = ("a mapping of lists of names, as in '*': [utterance_cmvn]", _is_transforms)

# What this package reads. tgt_lang, sampling_alpha and transcribe_probability have rules of their own, in data_config.
TYPES_OF_KEYS: Mapping[str, Rule] = {
    "vocab_filename": _TEXT,
    "transcript_vocab_filename": _TEXT,
    "audio_root": (_TEXT[0], lambda value: value == "" or _is_text(value)),
    "relative_audio_root": _TEXT,
    "recording_root": _TEXT,
    "pre_tokenizer": _TOKENIZER,
    "bpe_tokenizer": _TOKENIZER,
    "transcript_bpe_tokenizer": _TOKENIZER,
    "input_channels": _COUNT,
    "input_feat_per_channel": _COUNT,
    "sample_bits": ("a whole number from 2 to 32", lambda value: _is_count(value) and 2 <= value <= 32),
    "prepend_tgt_lang_tag": _FLAG,
    "sample_kd_texts": _FLAG,
    "shuffle": _FLAG,
    "transforms": _TRANSFORMS,
    "feature_transforms": _TRANSFORMS,
    "specaugment": ("a mapping of SpecAugment's numbers, as in time_mask_N: 2", _is_masks),
    "utterance_cmvn": _MAPPING,
}
OWN_RULES = ("tgt_lang", "sampling_alpha", "transcribe_probability")
# What fairseq's own tasks read, and what has no effect here.
OF_FAIRSEQ = (
    "data", "global_cmvn", "hub", "is_first_pass_decoder", "lang_tag_mapping", "prepend_tgt_lang_tag_as_bos", "output_sample_rate", "rdrop_alpha",
    "sample_rate", "standardize_audio", "target_speaker_embed", "use_sample_rate", "vocoder", "features",
)  # fmt: skip


def check(path: Path, values: Mapping[Any, Any], unsupported: tuple[str, ...]) -> None:
    """Check the settings of a file, and warn of keys that nothing reads.

    Raises:
        ValueError: the value of a key is of another type.
    """
    for key, (rule, holds) in TYPES_OF_KEYS.items():
        if key in values and not holds(values[key]):
            raise ValueError(f"{path}: {key} must be {rule}, but is {excerpt(values[key])}; correct it")
    known = {*TYPES_OF_KEYS, *OWN_RULES, *OF_FAIRSEQ, *unsupported}
    unknown = [excerpt(key) for key in values if not isinstance(key, str) or key not in known]
    if unknown:
        logger.warning(f"{path}: nothing reads {', '.join(unknown)}; correct the name if it is misspelt")
