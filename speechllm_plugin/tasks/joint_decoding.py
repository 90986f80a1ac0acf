"""--ctc-decoding-weight: the part of a search that asks the CTC head, or an error that says why it cannot."""

import torch

from speechllm_plugin.generation.ctc_prefix import SILENT, JointDecoding
from speechllm_plugin.tasks.text_codec import TextCodec


def joint_decoding(weight: float, models, target: TextCodec, transcript: TextCodec | None, unserved: list[str]) -> JointDecoding | None:
    """What the search needs to mix CTC's scores in; None without weight.

    Args:
        unserved: why fairseq's generator, which knows no CTC, would be used.

    Raises:
        ValueError: the weight is out of range, or the models, the vocabularies or another option do not allow it.
    """
    if not weight:
        return None
    flag = f"--ctc-decoding-weight {weight}"
    if not 0 < weight < 1:
        raise ValueError(f"--ctc-decoding-weight must be at least 0 and below 1, but is {weight}")
    if unserved:
        raise ValueError(f"{flag} is not served together with {', '.join(unserved)}: leave one of them out")
    if len(models) > 1 or models[0].encoder.ctc_head is None:
        raise ValueError(f"{flag} needs one model, trained with --ctc-layer, but --path names {len(models)}, the first with {ctc_of(models[0])}")
    return JointDecoding(weight, labels_of(target, transcript, flag))


def ctc_of(model) -> str:
    return f"--ctc-layer {model.encoder.cfg.ctc_layer}"


def labels_of(target: TextCodec, transcript: TextCodec, flag: str) -> torch.Tensor:
    """The (V,) transcript type of every target type; language tags are not spoken."""
    symbols, tags = target.dictionary.symbols, target.tags
    labels = [SILENT if token in tags else transcript.dictionary.indices.get(symbol) for token, symbol in enumerate(symbols)]
    if None in labels:
        raise ValueError(
            f"{flag} needs the same types in both vocabularies, but {labels.count(None):,} of {len(labels):,} target types are no transcript "
            f"types, as {symbols[labels.index(None)]}: it is for recognition"
        )
    return torch.tensor(labels)
