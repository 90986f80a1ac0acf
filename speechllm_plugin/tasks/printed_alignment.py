"""--print-alignment: the attention to print, or an error that says why it cannot be."""

from speechllm_plugin.generation.speech_alignment import Alignment


def alignment(kind: str | None, layer: int, heads: str | None, models, unserved: list[str]) -> Alignment | None:
    """What the search needs to align tokens with the speech; None if no kind of alignment is asked for.

    Args:
        layer: from 1; 0 is the last.
        heads: from 1, separated by commas; None is all.
        unserved: why fairseq's generator, which aligns no speech, would be used.

    Raises:
        ValueError: a flag without effect, no such layer or head, several models, or another option that does not allow it.
    """
    if not kind:
        for flag, value in (("--alignment-layer", layer), ("--alignment-heads", heads)):
            if value:
                raise ValueError(f"{flag} {value} has an effect only with --print-alignment: leave it out")
        return None
    if unserved:
        raise ValueError(f"--print-alignment is not served together with {', '.join(unserved)}: leave one of them out")
    if len(models) > 1:
        raise ValueError(f"--print-alignment needs one model, but --path names {len(models)}")
    decoder = models[0].decoder
    if not 0 <= layer <= len(decoder.layers):
        raise ValueError(f"--alignment-layer must be from 1 to {len(decoder.layers)}, or 0 for the last, but is {layer}")
    return Alignment(str(kind), (layer or len(decoder.layers)) - 1, heads and heads_of(heads, decoder.num_heads))


def heads_of(text: str, num_heads: int) -> list[int]:
    """The heads from 0."""
    heads = text.split(",")
    if not all(head.strip().isdecimal() and 1 <= int(head) <= num_heads for head in heads):
        raise ValueError(f"--alignment-heads must be numbers from 1 to {num_heads}, separated by commas, but is {text!r}")
    return [int(head) - 1 for head in heads]
