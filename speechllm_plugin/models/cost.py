"""Floating-point operations of a training step and of decoding, of one utterance, from a model and lengths alone.

Counted is what torch.utils.flop_counter counts: matrix products and convolutions, a multiplication and its addition as two
operations. Products that a mask hides are counted, as they are computed. Not counted: embeddings, norms, softmax,
activations, pooling, losses, the optimizer and the bookkeeping of the search.

Every layer states its own operations in a method `flops` beside its forward pass; here they are put together. Weights are not read, so
that a model on the device `meta` will do.
"""

from typing import Any, NamedTuple

BACKWARD_FACTOR = 2  # each product has two gradients, one for each of its factors, as large as itself


class Lengths(NamedTuple):
    """The lengths of one utterance: frames, speech states after subsampling and after compression, text tokens with the end token."""

    num_frames: int
    num_states: int
    num_compressed: int
    num_tokens: int


def matmul(rows: int, in_dim: int, out_dim: int) -> int:
    """Operations of the product of a (rows, in_dim) and an (in_dim, out_dim) matrix."""
    return 2 * rows * in_dim * out_dim


def attention_products(num_queries: int, num_keys: int, dim: int) -> int:
    """Operations of the scores and of the weighted mean, of all heads together."""
    return 2 * matmul(num_queries, dim, num_keys)


def forward(model: Any, lengths: Lengths) -> dict[str, int]:
    """Operations of a SpeechToTextModel by part: subsampling, encoder_layers, ctc_head, decoder_layers, output_projection."""
    decoder, num_tokens = model.decoder, lengths.num_tokens
    return {
        **model.encoder.flops(lengths),
        "decoder_layers": decoder.layer_flops(lengths.num_compressed, num_tokens),
        "output_projection": decoder.output_flops(num_tokens),
    }


def training_step(model: Any, lengths: Lengths) -> dict[str, int]:
    """Operations of forward and backward by part. The gradients that nobody needs (of the filterbanks and of the sinusoids) count as if they
    were computed."""
    return {part: (1 + BACKWARD_FACTOR) * operations for part, operations in forward(model, lengths).items()}


def decoding(model: Any, lengths: Lengths, num_hypotheses: int) -> dict[str, int]:
    """Operations of a beam search by part: the encoder, what the speech costs the decoder before the first token (prefill), and the steps, one
    for each token of the text. The CTC head is left out, unless compression asks it.
    """
    encoder = model.encoder.flops(lengths)
    if not model.encoder.compresses:
        del encoder["ctc_head"]
    steps = (model.decoder.step_flops(lengths.num_compressed, position, num_hypotheses) for position in range(1, lengths.num_tokens + 1))
    return {
        "encoder": sum(encoder.values()),
        "prefill": model.decoder.prefill_flops(lengths.num_compressed),
        "steps": sum(steps),
    }
