"""The checkpoints that training starts from: --init-encoder-from and --init-decoder-from.

All weights of the encoder or decoder are copied, or it is an error: never some of them.
"""

import logging
from dataclasses import fields

from torch import Tensor

from speechllm_plugin.models import saved_model
from speechllm_plugin.models.config import CTCConfig, EncoderConfig, SpeechToTextConfig, flag, has_effect, relative_positions
from speechllm_plugin.models.registry import architectures
from speechllm_plugin.models.saved_model import SavedModel
from speechllm_plugin.models.speech_to_text import SpeechToTextModel

logger = logging.getLogger(__name__)

# Flags that may differ. The rest must not: those of the encoder and of CTC for the encoder, all others for the decoder.
FREE = {"_name", "dropout", "attention_dropout", "activation_dropout", "share_decoder_input_output_embed", "init_encoder_from", "init_decoder_from"}
ENCODER_FLAGS = {field.name for config in (EncoderConfig, CTCConfig) for field in fields(config)} - FREE

# Of the target vocabulary, which may be another one: these stay as they were drawn.
DRAWN = ("decoder.embedding.weight", "decoder.output_projection.weight")


def initialise(model: SpeechToTextModel, cfg: SpeechToTextConfig, vocabularies: dict[str, str]) -> None:
    """Copy encoder and decoder from the checkpoints that the flags name, if any, into a model that was just built.

    Args:
        cfg: the model's flags.
        vocabularies: digests of the present data's vocabularies, `target` and, if it has one, `transcript`.

    Raises:
        FileNotFoundError, ValueError: a file is missing, unreadable, or its part is not that of this model.
    """
    for part, path in (("encoder", cfg.init_encoder_from), ("decoder", cfg.init_decoder_from)):
        if path is None:
            continue
        try:
            saved = saved_model.read(path)
        except (ValueError, FileNotFoundError) as error:
            raise ValueError(f"--init-{part}-from {error}") from error
        theirs, ours = (tensors_of(part, weights) for weights in (saved.weights, model.state_dict()))
        problems = differing_flags(part, saved, type(model), cfg)
        if part == "encoder" and not problems:
            check_transcript_vocabulary(path, saved, model, vocabularies.get("transcript"))
        problems += saved_model.differences(theirs, ours)
        if problems:
            raise ValueError(f"--init-{part}-from {path}: its {part} is not this model's; {'; '.join(problems)}: give a checkpoint of the same row")
        getattr(model, part).load_state_dict({name.removeprefix(f"{part}."): weight for name, weight in theirs.items()}, strict=False)
        logger.info(f"{part}: {len(theirs)} tensors from {path}")


def tensors_of(part: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the encoder or decoder that another model of the same flags can take over."""
    return {name: weight for name, weight in weights.items() if name.startswith(f"{part}.") and name not in DRAWN}


def differing_flags(part: str, saved: SavedModel, model_type: type, cfg: SpeechToTextConfig) -> list[str]:
    """How many flags of the part differ, and all of them with both values; nothing if they agree."""
    arch = next(name for name, architecture in architectures().items() if architecture.model is model_type)
    theirs, ours = settings(part, saved.arch, saved.cfg), settings(part, arch, cfg)
    differing = [f"{flag(name)} is {value} there and {ours[name]} here" for name, value in theirs.items() if ours.get(name, value) != value]
    return [f"flags that differ: {len(differing)} ({', '.join(differing)})"] if differing else []


def compared_flags(part: str, config: type[SpeechToTextConfig]) -> set[str]:
    """The flags of an architecture on which the part's weights depend."""
    names = {field.name for field in fields(config)} - FREE
    return names & ENCODER_FLAGS if part == "encoder" else names - ENCODER_FLAGS


def settings(part: str, arch: str, cfg: SpeechToTextConfig) -> dict[str, str]:
    """The flags that have an effect on the part, with `auto` resolved."""
    names = sorted(compared_flags(part, architectures()[arch].config))
    values = {"arch": arch, **{name: str(getattr(cfg, name)) for name in names if has_effect(name, cfg)}}
    return {**values, "relative_positions": str(relative_positions(cfg))} if part == "encoder" else values


def check_transcript_vocabulary(path: str, saved: SavedModel, model: SpeechToTextModel, digest: str | None) -> None:
    """The labels of a CTC head must mean the same in both."""
    bias = saved.weights.get("encoder.ctc_head.bias")
    if model.encoder.ctc_head is None or bias is None:
        return
    theirs, size = len(bias) - 1, model.encoder.ctc_head.out_features - 1
    their_digest = saved.vocabularies.get("transcript")
    if theirs != size or their_digest not in (None, digest):
        raise ValueError(
            f"--init-encoder-from {path}: made with another transcript vocabulary ({theirs:,} types, here {size:,}); prepare with "
            "--transcript-vocab-from and the data folder of that training"
        )
    if their_digest is None:
        logger.warning(f"{path} does not tell its transcript vocabulary: its {size:,} types are taken for those of this data")
